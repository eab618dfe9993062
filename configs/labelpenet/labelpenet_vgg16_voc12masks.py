# T5: trains on the tags of all images of the list trainaug.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc12masks.py',
    '../_base_/models/labelpenet_vgg16.py',
    '../_base_/schedules/paper.py',
]
