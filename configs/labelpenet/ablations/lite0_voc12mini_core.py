# docs/findings.md: cuts of first-stage labels start from the core of a map and shrink boxes that they do not fill, as for own data.
_base_ = '../labelpenet_lite0_voc12mini.py'
model = dict(stages=dict(classification=dict(labels=dict(core=0.9, cut=dict(min_fill=0.6)))))
