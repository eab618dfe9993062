# C4: excitation starts at the best of all classes of each proposal, tagged or not.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(
    generators=dict(
        classification=dict(start='argmax_all'),
        detection=dict(start='argmax_all'),
    )
)
