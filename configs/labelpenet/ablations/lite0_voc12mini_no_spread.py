# docs/findings.md: class activation maps of one image size, without propagation to similar places; a CRF aligns them with edges.
_base_ = '../labelpenet_lite0_voc12mini.py'
model = dict(stages=dict(classification=dict(labels=dict(spread=None, zooms=[], threshold=0.2, crf='small'))))
