# One phase of multiple-instance learning on natural images, longer than Label-PEnet's first phase. All layers have the same learning rate,
# as in WSDDN, OICR and PCL: if proposal weights learnt more slowly, scores would stay near zero and OICR's branches would learn nothing.
_base_ = './animals.py'
train_cfg = dict(
    phases=dict(classification=dict(iters=800, milestones=[7 / 8]), detection=None, refinement=None, segmentation=None, recurrent=None)
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={'classification.detector.roi_head.bbox_head': dict(lr_mult=10)}))
