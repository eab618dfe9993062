# L5: objects of different classes may overlap.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(detection=dict(labels=dict(max_overlap=1.0)), refinement=dict(labels=dict(max_overlap=1.0))))
