# L6: labels of the refinement stage come from proposal calibration, like those of the detection stage.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(refinement=dict(labels=dict(_base_.model.stages.detection.labels, _delete_=True, weights='one'))))
