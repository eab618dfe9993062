_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/animals.py',
    '../_base_/models/labelpenet_lite0_photo.py',
    '../_base_/schedules/animals.py',
]
model = dict(num_classes=5)
