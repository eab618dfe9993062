# C7: one object per tag in all stages.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(detection=dict(labels=dict(max_per_tag=1)), refinement=dict(labels=dict(max_per_tag=1))))
