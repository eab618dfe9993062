# docs/findings.md: cuts of first-stage labels start from the whole region of a map, and boxes that they do not fill stay.
_base_ = '../labelpenet_lite0_voc12mini.py'
model = dict(stages=dict(classification=dict(labels=dict(core=None, cut=dict(min_fill=0.0)))))
