# L7: the segmentation stage learns with instance weights too.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        refinement=dict(weights='class'),
    )
)
