_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/rendered.py',
    '../_base_/models/labelpenet_lite0.py',
    '../_base_/schedules/quick.py',
]
model = dict(num_classes=4)
auto_scale_lr = dict(enable=False, base_batch_size=4)
