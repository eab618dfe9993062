# N5: torchvision's ImageNet weights, with the matching input normalisation.
_base_ = '../labelpenet_vgg16_voc07.py'
__imagenet = dict(preset='torchvision', checkpoint='torchvision://vgg16')
__fcs = dict(type='ImageNetWeights', arch='vgg16', part='fcs', **__imagenet)
__new_layers = _base_.model.stages.detection.detector.roi_head.bbox_head.init_cfg[:-1]
__new_branches = _base_.model.stages.classification.detector.roi_head.bbox_head.init_cfg[:-1]
__detector = dict(backbone=dict(init_cfg=__imagenet), roi_head=dict(bbox_head=dict(init_cfg=[*__new_layers, __fcs])))
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(init_cfg=__imagenet),
    stages=dict(
        classification=dict(
            detector=dict(backbone=dict(init_cfg=__imagenet), roi_head=dict(bbox_head=dict(init_cfg=[*__new_branches, __fcs])))
        ),
        detection=dict(detector=__detector),
        refinement=dict(detector=__detector),
        segmentation=dict(detector=__detector),
    ),
)
