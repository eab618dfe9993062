# docs/findings.md: class scores and proposal weights have the same learning rate.
_base_ = './lite0_animals_excitation.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'classification.detector.roi_head': dict(lr_mult=10)}))
