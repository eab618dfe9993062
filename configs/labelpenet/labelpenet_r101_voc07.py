_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc07.py',
    '../_base_/models/labelpenet_r101.py',
    '../_base_/schedules/paper_adamw.py',
]
