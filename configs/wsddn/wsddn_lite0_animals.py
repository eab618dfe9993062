_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/animals.py',
    '../_base_/models/mil_lite0_photo.py',
    '../_base_/schedules/mil_photo.py',
]
model = dict(num_classes=5, stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(mil_loss=dict(type='WSDDNLoss')))))))
