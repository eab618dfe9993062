_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/voc07.py',
    '../_base_/models/mil_vgg16.py',
    '../_base_/schedules/mil_paper.py',
]
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(mil_loss=dict(type='WSDDNLoss')))))))
