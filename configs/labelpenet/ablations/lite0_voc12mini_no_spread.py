# docs/findings.md: class activation maps of one image size, which do not spread to similar places; a CRF takes them to the edges.
_base_ = '../labelpenet_lite0_voc12mini.py'
model = dict(stages=dict(classification=dict(labels=dict(spread=None, zooms=[], threshold=0.2, crf='small'))))
