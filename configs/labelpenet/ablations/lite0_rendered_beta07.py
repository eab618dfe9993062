# Sec. 3.3: in backward validation, proposals take the label of an object from an overlap of 0.7, instead of 0.5.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(beta=0.7)))))
