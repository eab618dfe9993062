# C10: each pixel takes the value of the nearest cell of the RoI grid.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(paste='nearest')),
        detection=dict(labels=dict(paste='nearest')),
        refinement=dict(labels=dict(paste='nearest')),
    )
)
