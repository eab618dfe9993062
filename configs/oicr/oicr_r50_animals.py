_base_ = '../wsddn/wsddn_r50_animals.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(bbox_head=dict(refinement=dict(type='OICRBranches')))))))
