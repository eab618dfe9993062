# One phase for multiple-instance learning alone on photographs, longer than Label-PEnet's first phase. All layers learn at one rate,
# as WSDDN, OICR and PCL have it: with slow weights of proposals their scores stay near zero, and OICR's branches learn nothing from them.
_base_ = './animals.py'
train_cfg = dict(phases=[dict(name='classification', iters=800)])
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'classification.roi_head.bbox_head': dict(lr_mult=10)}))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[700], gamma=0.1)]
