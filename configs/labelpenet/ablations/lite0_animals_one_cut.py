# docs/choices.md: boxes come from the same cut as masks, which starts from the mask, instead of from one that starts from the whole box.
_base_ = '../labelpenet_lite0_animals.py'
__cut = dict(from_box=False)
model = dict(stages=dict(detection=dict(labels=dict(cut=__cut))), test_cfg=dict(cut=__cut))
