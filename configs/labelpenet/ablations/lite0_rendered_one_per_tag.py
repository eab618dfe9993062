# C7: one object for each tag in all stages.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        detection=dict(max_per_tag=1),
        refinement=dict(max_per_tag=1),
    )
)
