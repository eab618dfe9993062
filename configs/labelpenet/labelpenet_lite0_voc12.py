_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc12.py',
    '../_base_/models/labelpenet_lite0_large.py',
    '../_base_/schedules/paper_adamw.py',
]
