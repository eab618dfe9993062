# docs/findings.md: the classification stage reads the shared map instead of the last blocks, so its maps cannot be propagated by the
# features of those blocks.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(
    stages=dict(
        classification=dict(
            detector=dict(
                backbone=dict(_delete_=True, type='IdentityTail'),
                roi_head=dict(bbox_roi_extractor=dict(out_channels=112), bbox_head=dict(in_channels=112), tag_head=dict(in_channels=112)),
            ),
            labels=dict(spread=None),
        )
    )
)
