# The phases of paper_4x.py for models with small heads. No results have been measured with it.
_base_ = './paper_adamw.py'
__phase = dict(iters=200_000)
train_cfg = dict(
    phases=dict(classification=__phase, detection=__phase, refinement=__phase, segmentation=__phase, recurrent=dict(iters=320_000))
)
