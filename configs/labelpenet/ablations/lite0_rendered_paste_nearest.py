# C10: the nearest cell of the RoI grid for each pixel.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    stages=dict(
        classification=dict(labels=dict(paste='nearest')),
        detection=dict(labels=dict(paste='nearest')),
        refinement=dict(labels=dict(paste='nearest')),
    )
)
