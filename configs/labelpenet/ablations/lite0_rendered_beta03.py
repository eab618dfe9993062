# Sec. 3.3: proposals take the label of an object from an overlap of 0.3 on in backward validation, instead of 0.5.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(detector=dict(roi_head=dict(beta=0.3)))))
