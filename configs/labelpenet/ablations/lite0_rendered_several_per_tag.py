# C7: several objects per tag in the classification stage.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(stages=dict(classification=dict(labels=dict(max_per_tag=None))))
