_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/animals.py',
    '../_base_/models/labelpenet_lite0_photo.py',
    '../_base_/schedules/animals.py',
]
# Class activation maps of enlarged images highlight the heads of animals; a lower threshold includes the bodies.
model = dict(num_classes=5, stages=dict(classification=dict(labels=dict(threshold=0.25))))
