# C8: only the 100 best proposals of a class enter.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(max_candidates=100),
        detection=dict(max_candidates=100),
        refinement=dict(max_candidates=100),
    )
)
