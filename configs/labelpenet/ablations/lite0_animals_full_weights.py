# L7: all labels for the segmentation stage have weight 1, as in the paper.
_base_ = '../labelpenet_lite0_animals.py'
model = dict(stages=dict(refinement=dict(labels=dict(weights='one'))))
