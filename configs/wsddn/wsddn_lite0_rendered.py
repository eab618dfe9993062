_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/rendered.py',
    '../_base_/models/mil_lite0.py',
    '../_base_/schedules/mil_quick.py',
]
model = dict(num_classes=4, stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(mil_loss=dict(type='WSDDNLoss')))))))
