# C10: the nearest cell of the RoI grid for each pixel.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(paste='nearest'),
        detection=dict(paste='nearest'),
        refinement=dict(paste='nearest'),
    )
)
