# C8: only the 100 best proposals of a class are used.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(max_candidates=100)),
        detection=dict(labels=dict(max_candidates=100)),
        refinement=dict(labels=dict(max_candidates=100)),
    )
)
