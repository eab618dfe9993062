# C13, Sec. 3.2: no proposal calibration after the classification stage. No overlap reaches 1.1, so every label is the box of the best
# proposal, without a mask.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(min_iou=1.1, crf=None))))
