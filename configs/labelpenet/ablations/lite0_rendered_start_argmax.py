# C5: excitation starts at each proposal's own best class among the tags.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(start='argmax')), detection=dict(labels=dict(start='argmax'))))
