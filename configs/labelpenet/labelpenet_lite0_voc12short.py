# The network that comes with the package: docs/model_card.md.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc12short.py',
    '../_base_/models/labelpenet_lite0_photo.py',
    '../_base_/schedules/voc12mini.py',
]
__larger = dict(detector=dict(rpn_head=dict(anchor_generator=dict(scales=[3, 6, 12, 24]))))
model = dict(stages=dict(detection=__larger, refinement=__larger, segmentation=__larger))
train_cfg = dict(
    phases=dict(
        classification=dict(iters=700),
        refinement=dict(iters=600, milestones=[500]),
        segmentation=dict(iters=700, milestones=[580]),
    )
)
