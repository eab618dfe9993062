"""The linear classifier of whole images and the features it reads."""

import pytest
import torch
import toy
from torch.nn import functional as F

from mmlabelpenet.workbench.baselines.image_classifier import FeatureMaps, fit_image_classifier, imagenet_tail


def random_data(images=40, channels=6, classes=3):
    torch.manual_seed(0)
    features = torch.randn(images, channels) + 5
    return features, (features @ torch.randn(channels, classes) + torch.randn(images, classes) > 0).float()


def test_the_fit_is_where_the_gradient_is_zero():
    x, y = random_data()
    found = fit_image_classifier(x, y, l2=0.01)
    weight, bias = found.weight.double().requires_grad_(), found.bias.double().requires_grad_()
    scaled = ((x - found.mean) / found.scale).double()
    objective = F.binary_cross_entropy_with_logits(scaled @ weight.T + bias, y.double()) + 0.005 * weight.square().sum()
    assert max(g.abs().max() for g in torch.autograd.grad(objective, [weight, bias])) < 1e-4
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(((x - found.mean) / found.scale).norm(dim=1).mean(), torch.tensor(1.0))


def test_the_mean_of_an_activation_map_is_the_class_score_without_the_bias():
    found = fit_image_classifier(*random_data())
    feature = torch.randn(6, 4, 5) + 5
    logits = found.probs(feature.mean((1, 2))[None])[0].logit() - found.bias
    torch.testing.assert_close(found.activation_maps(feature).mean((1, 2)), logits, rtol=1e-4, atol=1e-4)


def test_a_class_that_no_image_shows_is_improbable():
    x, y = random_data()
    y[:, 1] = 0
    assert fit_image_classifier(x, y).probs(x)[:, 1].max() < 0.2


def test_tags_and_features_must_belong_together():
    with pytest.raises(ValueError, match='3 rows of features and 2 rows of tags'):
        fit_image_classifier(torch.zeros(3, 2), torch.zeros(2, 1))


@pytest.mark.parametrize('size', [(96, 128), (90, 100)])
def test_maps_end_where_the_image_ends(size):
    reader = FeatureMaps(toy.model_config())
    inputs = [torch.zeros(3, *size, dtype=torch.uint8)]
    from mmdet.structures import DetDataSample

    data = reader.data_preprocessor(dict(inputs=inputs, data_samples=[DetDataSample(metainfo=dict(img_shape=size))]))
    assert tuple(data['inputs'].shape[2:]) == (96, -(-size[1] // 16) * 16)
    assert reader(data).shape == (12, -(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize(
    ('backbone', 'size', 'shape'),
    [
        (dict(type='ResNetC4', style='pytorch', out_stride=16), 64, (2048, 4, 4)),
        (dict(type='ResNetC4', out_stride=8), 64, (2048, 8, 8)),
        (dict(type='EfficientNetLite0C4', out_stride=8), 64, (1280, 4, 4)),
        (dict(type='EfficientNetLite0C4', out_stride=16), 64, (1280, 4, 4)),
        (dict(type='VGG16C4'), 32, (512, 4, 4)),
    ],
)
def test_the_last_layers_of_imagenet_fit_each_backbone(backbone, size, shape):
    from mmlabelpenet.registry import MODELS

    tail = imagenet_tail(dict(backbone, init_cfg=dict(type='ImageNetWeights', arch='resnet50', preset='caffe', part='backbone')))
    assert tail.pop('init_cfg')['part'] == 'tail'
    with torch.device('meta'):
        maps = MODELS.build(tail)(MODELS.build(backbone)(torch.zeros(1, 3, size, size)))
    assert maps[-1].shape[1:] == shape


def test_a_backbone_without_imagenet_weights_stands_alone():
    assert imagenet_tail(dict(type='ResNetC4')) is None
    assert FeatureMaps(toy.model_config()).tail is None
