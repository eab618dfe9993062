_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc12mini.py',
    '../_base_/models/labelpenet_lite0_photo.py',
    '../_base_/schedules/voc12mini.py',
]
