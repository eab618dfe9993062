_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/animals.py',
    '../_base_/models/labelpenet_lite0_photo.py',
    '../_base_/schedules/animals.py',
]
# Cuts of first-stage labels also weigh the map from which they start: more of these labels are correct (docs/records/mil.md).
model = dict(num_classes=5, stages=dict(classification=dict(labels=dict(cut=dict(prior=0.25)))), test_cfg=dict(mask_scores=True))
