# docs/findings.md: the steps of the first stage's branches are proportional to the gradient, as with SGD; AdamW behaves so for gradients
# far below its eps.
_base_ = './lite0_animals_excitation.py'
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'classification.detector.roi_head.bbox_head.fc_cls': dict(lr_mult=100, decay_mult=0.01, eps=1.0),
            'classification.detector.roi_head.bbox_head.fc_weight': dict(lr_mult=10, decay_mult=0.01, eps=1.0),
        }
    )
)
