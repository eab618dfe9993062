"""A model receives the kind of input that its ImageNet weights were trained on."""

import pytest
from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from mmlabelpenet.apis.input_check import check_input
from mmlabelpenet.models.backbones import VGG16C4
from mmlabelpenet.workbench.variants import EfficientNetLite0C4


def preprocessor(**kwargs):
    return MMDET_MODELS.build(dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32, **kwargs))


CAFFE = dict(mean=[102.98, 115.95, 122.77], std=[1, 1, 1], bgr_to_rgb=False)
TORCHVISION = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


@pytest.mark.parametrize(('preset', 'right'), [('caffe', CAFFE), ('torchvision', TORCHVISION)])
@pytest.mark.parametrize('made', [CAFFE, TORCHVISION, CAFFE | {'bgr_to_rgb': True}, TORCHVISION | {'std': [57, 57, 57]}])
def test_only_the_input_the_weights_were_trained_on_is_accepted(preset, right, made):
    model = nn.Module()
    model.backbone = VGG16C4(init_cfg=dict(type='ImageNetWeights', arch='vgg16', preset=preset, part='backbone', checkpoint='x'))
    model.data_preprocessor = preprocessor(**made)
    if made == right:
        check_input(model)
    else:
        with pytest.raises(ValueError, match="'backbone'.*data preprocessor returns"):
            check_input(model)


def test_a_model_without_imagenet_weights_takes_any_input():
    check_input(VGG16C4(), preprocessor())


def test_lite0_has_the_input_of_its_preset():
    model = nn.Module()
    model.backbone = EfficientNetLite0C4(
        init_cfg=dict(type='ImageNetWeights', arch='efficientnet_lite0', preset='tensorflow', part='backbone')
    )
    model.data_preprocessor = preprocessor(mean=[127] * 3, std=[128] * 3, bgr_to_rgb=True)
    check_input(model)
    with pytest.raises(ValueError, match='RGB'):
        check_input(model, preprocessor(mean=[127] * 3, std=[128] * 3, bgr_to_rgb=False))
