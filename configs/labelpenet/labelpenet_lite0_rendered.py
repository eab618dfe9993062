_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/rendered.py',
    '../_base_/models/labelpenet_lite0.py',
    '../_base_/schedules/quick.py',
]
model = dict(num_classes=4)
