# L5: further objects of a tag need a score of at least 0.3, as in the VGG-16 model.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(detection=dict(labels=dict(min_score=0.3)), refinement=dict(labels=dict(min_score=0.3))))
