# docs/findings.md: class scores and weights of proposals learn at one rate.
_base_ = './lite0_animals_excitation.py'
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'classification.detector.roi_head': dict(lr_mult=10)}))
