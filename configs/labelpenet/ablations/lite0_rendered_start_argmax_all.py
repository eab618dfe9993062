# C4: excitation starts at the best of all classes of each proposal, tagged or not.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(start='argmax_all')), detection=dict(labels=dict(start='argmax_all'))))
