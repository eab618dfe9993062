# T1: trains on train and tests on val, whose annotations are public.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc12val.py',
    '../_base_/models/labelpenet_vgg16.py',
    '../_base_/schedules/paper.py',
]
