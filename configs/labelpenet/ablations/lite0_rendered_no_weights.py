# C14: no instance weights, every label counts 1.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(weights='one'),
        detection=dict(weights='one'),
    )
)
