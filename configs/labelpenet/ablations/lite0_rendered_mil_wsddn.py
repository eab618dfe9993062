# C1, C2: loss and scores of WSDDN: two softmaxes and binary cross-entropy per class.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(mil_loss=dict(type='WSDDNLoss')))))))
