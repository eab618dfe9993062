_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/coco17.py',
    '../_base_/models/labelpenet_r101.py',
    '../_base_/schedules/paper_adamw_4x.py',
]
model = dict(num_classes=80)
