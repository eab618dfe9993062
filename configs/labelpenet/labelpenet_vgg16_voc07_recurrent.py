# Only recurrent mixed fine-tuning (Sec. 4.2), from the checkpoint of labelpenet_vgg16_voc07_cascade.py; for another checkpoint:
# --cfg-options load_from=CHECKPOINT
_base_ = './labelpenet_vgg16_voc07.py'
load_from = 'work_dirs/labelpenet_vgg16_voc07_cascade/iter_200000.pth'
train_cfg = dict(phases=dict(classification=None, detection=None, refinement=None, segmentation=None))
