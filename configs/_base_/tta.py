# Test-time augmentation, switched on by `python tools/test.py CONFIG CHECKPOINT --tta`.
tta = dict(
    model=dict(type='LabelPENetTTA'),  # merges the views before suppression, stage by stage
    scales=[1.0, 0.8, 1.25],  # times the size at which the config tests; the first is the frame of the result
    flip=True,  # see each scale mirrored too
)
