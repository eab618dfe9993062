# Test-time augmentation, switched on by `python tools/test.py CONFIG CHECKPOINT --tta`.
tta = dict(
    model=dict(type='LabelPENetTTA'),  # merges the views before NMS, for each stage
    scales=[1.0, 0.8, 1.25],  # multiples of the config's test size; results are in the frame of the first
    flip=True,  # add a flipped view of each scale
)
