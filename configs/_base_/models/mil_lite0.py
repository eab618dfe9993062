# Only the classification stage of Label-PEnet on EfficientNet-Lite0, the basis of WSDDN, OICR and PCL.
_base_ = './labelpenet_lite0.py'

model = dict(stages=dict(detection=None, refinement=None, segmentation=None))
