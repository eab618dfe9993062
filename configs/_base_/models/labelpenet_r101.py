# ResNet-101 for the paper's image sizes, with torchvision's weights.
_base_ = './labelpenet_r50_large.py'

__imagenet = dict(arch='resnet101', preset='torchvision', checkpoint='torchvision://resnet101')
__resnet = dict(depth=101, style='pytorch', init_cfg=__imagenet)  # the stride of a layer is in its 3x3 convolution
__tail = dict(backbone=__resnet)

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=__resnet,
    stages=dict(detection=dict(detector=__tail), refinement=dict(detector=__tail), segmentation=dict(detector=__tail)),
)
