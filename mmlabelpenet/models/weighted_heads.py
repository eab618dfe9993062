"""Instance weights in a standard detector (paper Eq. 3 and 4).

The sampler adds ``pos_weights`` and ``neg_weights`` to its result, and three small head classes multiply the losses by them. With all
weights 1, every loss equals mmdet's; with weights 0.5 it is halved (unless the soft target of Eq. 3 is used).

Shapes: N images, K pseudo instances of one image, S sampled anchors or RoIs, C classes.
"""

from collections.abc import Iterable

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mmlabelpenet.registry import MODELS, TASK_UTILS


def check_weighted(results: Iterable[SamplingResult]) -> None:
    """Raise a ValueError for samples without weights."""
    for result in results:
        if not hasattr(result, 'pos_weights'):
            raise ValueError(
                "Weighted heads need the sampler dict(type='mmlabelpenet.WeightedRandomSampler') in train_cfg.rpn and train_cfg.rcnn, "
                f'got a {type(result).__name__} without weights.'
            )


def check_box_loss(head: RPNHead | ConvFCBBoxHead) -> None:
    """Raise a ValueError if a loss that compares boxes would receive offsets."""
    kind = type(head.loss_bbox).__name__
    if kind.endswith('IoULoss') and not head.reg_decoded_bbox:
        raise ValueError(f'{kind} compares boxes, but {type(head).__name__} regresses offsets: set reg_decoded_bbox=True.')


def negative_weights(priors: Tensor, bboxes: Tensor, weights: Tensor) -> Tensor:
    """Weight of negatives (choice L2), float (S,): that of the pseudo instance they overlap most, or the image's mean weight without any
    overlap.

    It is 0 if the image has no pseudo instance, so that such an image does not contribute.

    Args:
        priors: negative anchors or RoIs, float (S, 4).
        bboxes, weights: boxes and weights of pseudo instances, float (K, 4) and (K,).

    >>> priors = torch.tensor([[0., 0, 4, 4], [90, 90, 99, 99]])
    >>> bboxes, weights = torch.tensor([[0., 0, 9, 9], [50, 50, 60, 60]]), torch.tensor([0.2, 0.6])
    >>> [round(w, 2) for w in negative_weights(priors, bboxes, weights).tolist()]
    [0.2, 0.4]
    """
    if len(bboxes) == 0:
        return priors.new_zeros(len(priors))
    overlap, nearest = bbox_overlaps(priors, bboxes).max(1)
    return torch.where(overlap > 0, weights[nearest], weights.mean())


@TASK_UTILS.register_module()
class WeightedRandomSampler(RandomSampler):
    """mmdet's random sampler with a weight for each sample.

    The result gains ``pos_weights`` and ``neg_weights``, float (number of positives,) and (number of negatives,). Instances without
    ``weights`` have weight 1. ``negatives`` sets the weight of negatives (choice L2): ``'nearest'``, see :func:`negative_weights`, or
    ``'one'``.
    """

    def __init__(self, negatives: str = 'nearest', **kwargs) -> None:
        if negatives not in ('nearest', 'one'):
            raise ValueError(f"negatives must be 'nearest' or 'one', got {negatives!r}.")
        super().__init__(**kwargs)
        self.negatives = negatives

    def sample(self, assign_result: AssignResult, pred_instances: InstanceData, gt_instances: InstanceData, **kwargs) -> SamplingResult:
        """Sample, then look up the weights."""
        result = super().sample(assign_result, pred_instances, gt_instances, **kwargs)
        bboxes = gt_instances.bboxes
        weights = gt_instances.get('weights', bboxes.new_ones(len(bboxes)))
        result.pos_weights = weights[result.pos_assigned_gt_inds]
        result.neg_weights = negative_weights(result.neg_priors, bboxes, weights)
        if self.negatives == 'one' and len(bboxes):
            result.neg_weights = torch.ones_like(result.neg_weights)
        return result


@MODELS.register_module()
class ObjectnessLoss(nn.Module):
    """Binary cross-entropy against objectness targets in [0, 1], L_obj of Eq. 3, times ``loss_weight``.

    ``use_sigmoid`` must be True, so that mmdet's heads return one logit per anchor.
    """

    def __init__(self, loss_weight: float = 1.0, use_sigmoid: bool = True) -> None:
        if not use_sigmoid:
            raise ValueError('Objectness is one logit per anchor; use_sigmoid must be True.')
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor, weights: Tensor, avg_factor: float) -> Tensor:
        """Weighted sum over anchors divided by ``avg_factor`` = N_rpn, of logits (S, 1), targets (S,) and weights (S,).

        >>> round(ObjectnessLoss()(torch.zeros(2, 1), torch.tensor([0.0, 1.0]), torch.ones(2), 2).item(), 4)
        0.6931
        """
        values = F.binary_cross_entropy_with_logits(logits.squeeze(1), targets, reduction='none')
        return self.loss_weight * (values * weights).sum() / avg_factor


@MODELS.register_module()
class WeightedRPNHead(RPNHead):
    """Region proposal network with instance weights (Eq. 3).

    Args:
        objectness: ``'soft'``: w* is the target of the objectness and weights the regression, as printed; ``'hard'``: the target is 1
            and w* weights both terms (choice L1).
        **kwargs: as for mmdet's ``RPNHead``; ``loss_cls`` must be an ``ObjectnessLoss``.
    """

    def __init__(self, objectness: str = 'soft', loss_cls: dict | None = None, **kwargs) -> None:
        if objectness not in ('soft', 'hard'):
            raise ValueError(f"objectness must be 'soft' or 'hard', got {objectness!r}.")
        super().__init__(loss_cls=dict(loss_cls or dict(type='mmlabelpenet.ObjectnessLoss'), use_sigmoid=True), **kwargs)
        if not isinstance(self.loss_cls, ObjectnessLoss):
            raise ValueError(
                "WeightedRPNHead has objectness targets: use loss_cls=dict(_delete_=True, type='mmlabelpenet.ObjectnessLoss'), got "
                f'{type(self.loss_cls).__name__}.'
            )
        check_box_loss(self)
        self.objectness = objectness

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Read only the first map: pool4 in the refinement and segmentation stages (Sec. 4.1)."""
        return super().forward(x[: self.prior_generator.num_levels])

    def get_targets(self, *args, return_sampling_results: bool = False, **kwargs) -> tuple:
        """mmdet's targets, with objectness instead of class labels, and with instance weights."""
        labels, label_weights, bbox_targets, bbox_weights, avg_factor, results = super().get_targets(
            *args, return_sampling_results=True, **kwargs
        )
        check_weighted(results)
        sizes = [level.shape[1] for level in labels]
        label_weights, bbox_weights = torch.cat(label_weights, 1), torch.cat(bbox_weights, 1)
        sampled = label_weights > 0
        positive = sampled & (torch.cat(labels, 1) == 0)  # mmdet: label 0 is the object
        objectness = positive.float()
        for image, result in enumerate(results):
            # Samplers return sorted indices, so a boolean mask matches the order of the weights.
            pos, neg = positive[image], sampled[image] & ~positive[image]
            bbox_weights[image, pos] *= result.pos_weights[:, None]
            if self.objectness == 'soft':  # Eq. 3 has no weight in L_obj; an image without labels still does not contribute (choice L2)
                objectness[image, pos] = result.pos_weights
                label_weights[image, neg] *= result.neg_weights > 0
            else:
                label_weights[image, pos] *= result.pos_weights
                label_weights[image, neg] *= result.neg_weights
        targets = (
            list(objectness.split(sizes, 1)),
            list(label_weights.split(sizes, 1)),
            bbox_targets,
            list(bbox_weights.split(sizes, 1)),
            avg_factor,
        )
        return (*targets, results) if return_sampling_results else targets


@MODELS.register_module()
class WeightedBBoxHead(ConvFCBBoxHead):
    """Box head with instance weights (Eq. 4): w* multiplies classification and regression losses of every sample.

    Args:
        **kwargs: as for mmdet's ``ConvFCBBoxHead``; ``loss_cls`` must return one value, like ``CrossEntropyLoss`` or ``FocalLoss``.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.custom_cls_channels:
            raise ValueError(
                f'{type(self.loss_cls).__name__} returns two losses, but instance weights need a single one: use '
                'CrossEntropyLoss or FocalLoss.'
            )
        check_box_loss(self)

    @staticmethod
    def first_input(roi_feats: Tensor) -> Tensor:
        """Input of the first layer, float (R, D p p), from RoI features (R, D, p, p)."""
        return roi_feats.flatten(1)

    @staticmethod
    def grid_mass(roi_feats: Tensor, mass: Tensor) -> Tensor:
        """Convert mass on the input of the first layer, float (R, D p p), to maps on the RoI grid, float (R, p, p)."""
        return mass.view(roi_feats.shape).sum(1)

    def linear_layers(self) -> list[nn.Linear]:
        """Layers between the RoI grid and the class scores, for excitation backprop; raises ValueError if not all are fully connected."""
        if len(self.shared_convs) or len(self.cls_convs) or self.with_avg_pool:
            raise ValueError(
                'Excitation backprop needs a box head of fully connected layers, got one with convolutions or average pooling. '
                'Move them into the tail of the stage.'
            )
        return [*self.shared_fcs, *self.cls_fcs, self.fc_cls]

    @staticmethod
    def class_probs(cls_logits: Tensor) -> Tensor:
        """Softmax over classes and background, without the background column, float (R, C)."""
        return cls_logits.softmax(1)[:, :-1]

    def get_targets(self, sampling_results: list[SamplingResult], rcnn_train_cfg: dict, concat: bool = True) -> tuple:
        """mmdet's targets with instance weights."""
        check_weighted(sampling_results)
        labels, label_weights, bbox_targets, bbox_weights = super().get_targets(sampling_results, rcnn_train_cfg, concat=False)
        weights = [torch.cat([result.pos_weights, result.neg_weights]) for result in sampling_results]
        label_weights = [old * new for old, new in zip(label_weights, weights, strict=True)]
        bbox_weights = [old * new[:, None] for old, new in zip(bbox_weights, weights, strict=True)]
        targets = (labels, label_weights, bbox_targets, bbox_weights)
        return tuple(torch.cat(target) for target in targets) if concat else targets

    def loss(self, cls_score: Tensor, bbox_pred: Tensor, rois: Tensor, labels: Tensor, label_weights: Tensor, *args, **kwargs) -> dict:
        """mmdet's loss, with the size of the mini-batch as N of Eq. 4 (choice L3): mmdet divides by the number of nonzero weights."""
        losses = super().loss(cls_score, bbox_pred, rois, labels, label_weights, *args, **kwargs)
        losses['loss_cls'] = losses['loss_cls'] * ((label_weights > 0).sum().clamp(min=1) / max(len(label_weights), 1))
        return losses


@MODELS.register_module()
class WeightedMaskHead(FCNMaskHead):
    """Mask head with instance weights; instances with an empty mask ("box only", choice C13) do not contribute."""

    def loss_and_target(
        self, mask_preds: Tensor, sampling_results: list[SamplingResult], batch_gt_instances: list[InstanceData], rcnn_train_cfg: dict
    ) -> dict:
        """Per-pixel binary cross-entropy for the assigned class in logits (S, C, m, m), weighted per RoI, averaged over the positives."""
        if len(mask_preds) == 0:
            return dict(loss_mask=dict(loss_mask=mask_preds.sum()), mask_targets=None)
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        weights = torch.cat([mask_weights(r, gt) for r, gt in zip(sampling_results, batch_gt_instances, strict=True)])
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        channel = torch.zeros_like(labels) if self.class_agnostic else labels
        chosen = mask_preds[torch.arange(len(labels), device=labels.device), channel]
        values = F.binary_cross_entropy_with_logits(chosen, targets, reduction='none').mean((1, 2))
        return dict(loss_mask=dict(loss_mask=(values * weights).mean()), mask_targets=targets)


def mask_weights(result: SamplingResult, instances: InstanceData) -> Tensor:
    """Weights of positive RoIs in the mask loss, float (number of positives,): w*, or 0 if the instance has no mask."""
    has_mask = torch.as_tensor(instances.masks.areas > 0, device=result.pos_weights.device)
    return result.pos_weights * has_mask[result.pos_assigned_gt_inds]
