# Only the classification stage of Label-PEnet on VGG-16, the basis of WSDDN, OICR and PCL.
_base_ = './labelpenet_vgg16.py'

model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
