# Only cascaded pre-training (Sec. 4.2), the rows with a dagger in Table 1.
_base_ = './labelpenet_vgg16_voc07.py'
train_cfg = dict(phases=dict(recurrent=None))
