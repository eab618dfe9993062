"""Compare the forward and backward passes of the MIL head with the same layers in plain PyTorch."""

from collections.abc import Iterator

import torch
from comparison import Comparison
from mmengine.structures import InstanceData, LabelData
from torch import Tensor
from torch.nn import functional as F

PROPOSALS, CHANNELS, CELLS, WIDTH, CLASSES = 1600, 512, 7, 4096, 20


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """VGG-16's fc6 and fc7 and the two branches, Eq. 1 and 2, one image of 1,600 proposals, RoI features given."""
    from mmdet.structures import DetDataSample

    from mmlabelpenet.models.mil_head import MILRoIHead

    torch.manual_seed(0)
    head = MILRoIHead(
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIPool', output_size=CELLS), out_channels=CHANNELS, featmap_strides=[8]
        ),
        bbox_head=dict(type='MILBBoxHead', num_classes=CLASSES, in_channels=CHANNELS, roi_feat_size=CELLS, fc_channels=(WIDTH, WIDTH)),
    ).to(device)
    feats = torch.rand(PROPOSALS, CHANNELS, CELLS, CELLS, device=device)
    head.bbox_roi_extractor.forward = lambda x, rois: feats
    sample = DetDataSample(metainfo=dict(img_shape=(600, 800)))
    sample.gt_image_labels = LabelData(onehot=torch.eye(CLASSES, device=device)[3])
    boxes = InstanceData(bboxes=torch.rand(PROPOSALS, 4, device=device).cumsum(1))
    parameters = list(head.parameters())

    def ours() -> None:
        losses = head.loss((feats,), [boxes], [sample])
        learn(sum(value for key, value in losses.items() if 'loss' in key), parameters)

    def bare() -> None:
        learn(bare_loss(feats, parameters, sample.gt_image_labels.onehot), parameters)

    shapes = f'{PROPOSALS} proposals x {CHANNELS} x {CELLS} x {CELLS}, {WIDTH}, {WIDTH}, {CLASSES} classes'
    yield Comparison('head by bare layers', {'MIL head': ours, 'bare layers': bare}, reach=1.05, shapes=shapes, runs=5)


def bare_loss(feats: Tensor, parameters: list[Tensor], onehot: Tensor) -> Tensor:
    """Eq. 1 and 2 in a few lines; parameters in the order of the head's."""
    fc6, fc6_bias, fc7, fc7_bias, cls, cls_bias, weight, weight_bias = parameters
    x = torch.relu(F.linear(feats.flatten(1), fc6, fc6_bias))
    x = torch.relu(F.linear(x, fc7, fc7_bias))
    scores = F.linear(x, cls, cls_bias)[:, :-1] * F.linear(x, weight, weight_bias).softmax(0)
    return -(onehot * scores.sum(0).log_softmax(0)).sum()


def learn(loss: Tensor, parameters: list[Tensor]) -> None:
    """Gradients of all parameters, none kept."""
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
