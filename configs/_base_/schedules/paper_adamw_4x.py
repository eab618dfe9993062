# The phases of paper_4x.py for models with small heads, as in paper_adamw.py. No results have been measured with it.
_base_ = './paper_4x.py'
__deep = dict(lr=5e-4)  # learning rate 0.001 for linear heads, half of it for deeper ones
train_cfg = dict(phases=dict(detection=__deep, refinement=__deep, segmentation=__deep, recurrent=dict(lr=5e-5)))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=10),
)
