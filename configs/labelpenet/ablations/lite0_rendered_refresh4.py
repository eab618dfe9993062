# L10: in recurrent fine-tuning, labels of an image are reused for four iterations that contain it.
_base_ = '../labelpenet_lite0_rendered.py'
model = dict(refresh_interval=4)
