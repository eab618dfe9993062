# The classification stage of Label-PEnet on ResNet-50 for photographs alone: what WSDDN, OICR and PCL begin with.
_base_ = './labelpenet_r50_photo.py'

model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
