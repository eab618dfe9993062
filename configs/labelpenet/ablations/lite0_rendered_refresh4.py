# L10: labels of an image serve four of its visits in recurrent fine-tuning.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(refresh_interval=4)
