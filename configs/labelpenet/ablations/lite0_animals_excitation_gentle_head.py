# docs/findings.md: the first stage's branches take steps in proportion to the gradient, as SGD does; AdamW does so far below its eps.
_base_ = './lite0_animals_excitation.py'
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'classification.detector.roi_head.bbox_head.fc_cls': dict(lr_mult=100, decay_mult=0.01, eps=1.0),
            'classification.detector.roi_head.bbox_head.fc_weight': dict(lr_mult=10, decay_mult=0.01, eps=1.0),
        }
    )
)
