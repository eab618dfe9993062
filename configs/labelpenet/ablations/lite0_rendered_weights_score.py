# C14: the ranking score relative to the image's best as weight.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(weights='score'),
        detection=dict(weights='score'),
    )
)
