# One phase for multiple-instance learning alone on photographs, longer than Label-PEnet's first phase. All layers learn at one rate,
# as WSDDN, OICR and PCL have it: with slow weights of proposals their scores stay near zero, and OICR's branches learn nothing from them.
_base_ = './animals.py'
train_cfg = dict(
    phases=dict(classification=dict(iters=800, milestones=[7 / 8]), detection=None, refinement=None, segmentation=None, recurrent=None)
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'classification.detector.roi_head.bbox_head': dict(lr_mult=10)}))
