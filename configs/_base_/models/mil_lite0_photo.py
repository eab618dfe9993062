# The classification stage of Label-PEnet on EfficientNet-Lite0 for photographs alone: what WSDDN, OICR and PCL begin with.
_base_ = './labelpenet_lite0_photo.py'

model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
