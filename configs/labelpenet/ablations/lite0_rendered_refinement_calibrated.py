# L6: labels of the refinement stage by proposal calibration, as those of the detection stage.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(generators=dict(refinement=dict(_base_.model.generators.detection, _delete_=True, weights='one')))
