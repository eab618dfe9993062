# N6: ASPP on each RoI of the mask branch instead of on the whole map.
_base_ = '../labelpenet_vgg16_voc07.py'
__mask_rcnn = dict(
    backbone=dict(aspp=None),
    roi_head=dict(
        mask_roi_extractor=dict(
            type='ASPPRoIExtractor', out_channels=512, aspp=dict(channels=256, out_channels=256, dilations=(1, 2, 4, 6))
        )
    ),
)
model = dict(stages=dict(refinement=dict(detector=__mask_rcnn), segmentation=dict(detector=__mask_rcnn)))
