# The classification stage of Label-PEnet on VGG-16 alone: what WSDDN, OICR and PCL begin with.
_base_ = './labelpenet_vgg16.py'

model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
