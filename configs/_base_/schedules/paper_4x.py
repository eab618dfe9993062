# The paper's schedule, four times as long, for COCO's 118,287 training images (VOC 2012 has 11,540). No results have been measured with it.
_base_ = './paper.py'
__phase = dict(iters=200_000)
train_cfg = dict(
    phases=dict(
        classification=__phase,
        detection=__phase,
        refinement=__phase,
        segmentation=__phase,
        recurrent=dict(iters=320_000),
    )
)
