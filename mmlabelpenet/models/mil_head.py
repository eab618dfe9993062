"""The classification stage's heads (paper Sec. 3.2 "Multi-Label Classification Module", Sec. 4.1).

Shapes: N images, R proposals of one image, C classes, D channels, (p, p) RoI grid.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, scale_boxes
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmlabelpenet.calibration.reading import suppress
from mmlabelpenet.models.log_values import summarise_tags, tag_statistics
from mmlabelpenet.models.mil_losses import single_labels
from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import check_range


@MODELS.register_module()
class MILBBoxHead(BaseModule):
    """fc6, fc7 and two branches: classification x^{c,1} and proposal weights x^{p,1}.

    The classification branch has C + 1 outputs, of which only the single-label loss of backward validation uses the last (choice C3).

    Args:
        num_classes, in_channels, roi_feat_size: C, D and p.
        fc_channels: widths of fc6 and fc7; empty for branches directly on the RoI grid.
        mil_loss: registered loss with ``ranking``; ``MILSoftmaxLoss`` is Eq. 1 and 2.
        dropout: dropout after fc6 and fc7 in training.
        roi_norm: config of a module applied to flattened RoI features, such as ``CentredNorm``.
        refinement: config of online refinement branches, ``OICRBranches`` or ``PCLBranches``. With them, proposals are ranked by the mean
            of the branches, and class scores and excitation backprop use the last branch.
        init_cfg: by default N(0, 0.01) for the branches, Xavier for the preceding layers.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        roi_feat_size: int = 7,
        fc_channels: Sequence[int] = (4096, 4096),
        mil_loss: dict | None = None,
        dropout: float = 0.0,
        roi_norm: dict | None = None,
        refinement: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        new_layers = [dict(type='Normal', std=0.01, override=[dict(name='fc_cls'), dict(name='fc_weight')])]
        super().__init__(init_cfg or [*new_layers, dict(type='Xavier', distribution='uniform', override=dict(name='shared_fcs'))])
        widths = [in_channels * roi_feat_size**2, *fc_channels]
        self.shared_fcs = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.fc_cls = nn.Linear(widths[-1], num_classes + 1)
        self.fc_weight = nn.Linear(widths[-1], num_classes)
        self.num_classes, self.dropout = num_classes, dropout
        self.roi_norm = nn.Identity() if roi_norm is None else MODELS.build(dict(roi_norm, channels=widths[0]))
        self.mil_loss = MODELS.build(mil_loss or dict(type='MILSoftmaxLoss'))
        shape = dict(in_channels=widths[-1], num_classes=num_classes)
        self.refinement = None if refinement is None else MODELS.build(dict(refinement, **shape))

    def pooled(self, roi_feats: Tensor) -> Tensor:
        """RoI features (R, D, p, p) as vectors, float (R, D p p), before any normalisation."""
        return roi_feats.flatten(1)

    def first_input(self, roi_feats: Tensor) -> Tensor:
        """Input of the first layer, float (R, D p p), from RoI features (R, D, p, p)."""
        return self.roi_norm(self.pooled(roi_feats))

    def grid_mass(self, roi_feats: Tensor, mass: Tensor) -> Tensor:
        """Convert mass on the input of the first layer, float (R, D p p), to maps on the RoI grid, float (R, p, p), for excitation
        backprop.
        """
        return mass.view(roi_feats.shape).sum(1)

    def learn_norm(self, parts: Iterable[Tensor]) -> None:
        """In training, update ``roi_norm`` with all RoI features of a batch, in chunks (R, D, p, p), before :meth:`forward` uses it."""
        if self.training and hasattr(self.roi_norm, 'learn'):
            self.roi_norm.learn(self.pooled(part) for part in parts)

    def linear_layers(self) -> list[nn.Linear]:
        """Layers between the RoI grid and the class scores, for excitation backprop."""
        return [*self.shared_fcs, self.fc_cls if self.refinement is None else self.refinement.branches[-1]]

    def forward(self, roi_feats: Tensor) -> tuple[Tensor, ...]:
        """Class logits (R, C + 1), weight logits (R, C), then each refinement branch's logits (R, C + 1) of RoI features (R, D, p, p)."""
        x = self.first_input(roi_feats)
        for layer in self.shared_fcs:
            x = F.dropout(F.relu(layer(x)), self.dropout, self.training)
        return self.fc_cls(x), self.fc_weight(x), *([] if self.refinement is None else self.refinement(x))

    def class_probs(self, cls_logits: Tensor) -> Tensor:
        """w^{c,1}: softmax over the C classes, float (R, C); over C + 1 with refinement branches, which have learnt the background."""
        return cls_logits[:, :-1].softmax(1) if self.refinement is None else cls_logits.softmax(1)[:, :-1]


@MODELS.register_module()
class MILRoIHead(StandardRoIHead):
    """Scores proposals; learns from image tags, and from boxes that a later stage hands back in backward validation.

    Args:
        beta: overlap above which a proposal takes the label of an object in backward validation (Sec. 3.3, β).
        single_label_weight: multiplies the single-label loss.
        rank: score that ranks proposals for NMS (choice C6): ``'product'``, the score of Eq. 1 or the mean of the refinement branches, if
            any; ``'class'``, the softmax class score.
        chunk: number of proposals processed by the head at once, to save memory; they are recomputed in the backward pass.
        tag_head: config of a ``TagHead``, which predicts the tags from the whole image.
        **kwargs: as for mmdet's ``StandardRoIHead``.
    """

    def __init__(
        self,
        beta: float = 0.5,
        single_label_weight: float = 1.0,
        rank: str = 'product',
        chunk: int | None = None,
        tag_head: dict | None = None,
        **kwargs,
    ) -> None:
        if rank not in ('product', 'class'):
            raise ValueError(f"rank must be 'product' or 'class', got {rank!r}.")
        check_range(1, chunk=chunk)
        check_range(0, 1, beta=beta)
        check_range(0, single_label_weight=single_label_weight)
        super().__init__(**kwargs)
        self.chunk = chunk
        self.tag_head = None if tag_head is None else MODELS.build(tag_head)
        self.rank, self.beta, self.single_label_weight = rank, beta, single_label_weight

    def logits(self, x: tuple[Tensor, ...], proposals: list[Tensor]) -> list[tuple[Tensor, ...]]:
        """What :meth:`MILBBoxHead.forward` returns, per image."""
        rois = bbox2roi(proposals)
        if self.chunk is None or len(rois) <= self.chunk:
            feats = self._feats(x, rois)
            self.bbox_head.learn_norm([feats])
            outputs = self.bbox_head(feats)
        else:
            with torch.no_grad():
                self.bbox_head.learn_norm(self._feats(x, part) for part in rois.split(self.chunk))
            parts = [checkpoint(lambda p: self.bbox_head(self._feats(x, p)), part, use_reentrant=False) for part in rois.split(self.chunk)]
            outputs = tuple(torch.cat(part) for part in zip(*parts, strict=True))
        sizes = [len(p) for p in proposals]
        return list(zip(*(out.split(sizes) for out in outputs), strict=True))

    def image_means(self, x: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> Tensor:
        """Average features of the images, each as one RoI, float (N, D)."""
        boxes = [x[0].new_tensor([[0, 0, *sample.img_shape[1::-1]]]) for sample in samples]
        return self._feats(x, bbox2roi(boxes)).mean((2, 3))

    def tag_probs(self, x: tuple[Tensor, ...], sample: DetDataSample) -> Tensor:
        """Probability of each tag of one image, float (C,), from the tag head."""
        return self.tag_head(self.image_means(x, [sample]))[0].sigmoid()

    def image_evidence(self, x: tuple[Tensor, ...], sample: DetDataSample) -> Tensor:
        """Class scores (C,) in (0, 1] of the whole image, which weight the detections of the other stages at test time.

        The other stages learn from boxes in few images and confuse similar classes, whereas this stage learns classes from every tag. The
        scores are the tag head's probabilities or, without a tag head, softmax scores w^{c,1} of the image as an additional proposal,
        divided by the maximum.
        """
        if self.tag_head is not None:
            return self.tag_probs(x, sample)
        ((logits, *_),) = self.logits(x, [x[0].new_tensor([[0, 0, *sample.img_shape[1::-1]]])])
        (probs,) = self.bbox_head.class_probs(logits)
        return probs / probs.max()

    def _feats(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        extract = getattr(self.bbox_roi_extractor, 'means', self.bbox_roi_extractor)  # only averages if scores need nothing else
        return extract(x[: self.bbox_roi_extractor.num_inputs], rois)

    def loss(self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list[DetDataSample]) -> dict:
        """Eq. 2 and the losses of refinement branches, averaged over images; the single-label loss if a sample has ``gt_instances``.

        Images without proposals or tags do not contribute. ``chosen_area`` and ``entropy`` are for the log, see
        :func:`~mmlabelpenet.models.log_values.tag_statistics`.
        """
        proposals = [result.bboxes for result in rpn_results_list]
        outputs = self.logits(x, proposals)
        mil, refined, single, statistics = [], [], [], []
        for boxes, (cls_logits, weight_logits, *branches), sample in zip(proposals, outputs, batch_data_samples, strict=True):
            onehot = sample.gt_image_labels.onehot
            if len(boxes) and onehot.any():
                mil.append(self.bbox_head.mil_loss(cls_logits[:, :-1], weight_logits, onehot))
                scores = self.ranking_scores(cls_logits, weight_logits, *branches)
                statistics.append(tag_statistics(boxes, scores, weight_logits, onehot, sample.img_shape[:2]))
                if branches:
                    refined.append(self.bbox_head.refinement.losses(boxes, cls_logits[:, :-1], weight_logits, branches, onehot))
            if len(boxes) and 'gt_instances' in sample:
                single.append(self._single_label_loss(boxes, [cls_logits, *branches], sample.gt_instances))
        zero, _, *zeros = (logits.sum() * 0 for logits in outputs[0])  # the losses of a batch in which no image contributes
        losses = dict(loss_mil=torch.stack(mil or [zero]).sum() / len(proposals), **summarise_tags(statistics, zero))
        if self.tag_head is not None:
            losses['loss_tags'] = self.tag_head.loss(self.image_means(x, batch_data_samples), batch_data_samples)
        if zeros:
            per_branch = torch.stack(refined or [torch.stack(zeros)]).sum(0) / len(proposals)
            losses |= {f'loss_refine_{number}': value for number, value in enumerate(per_branch, 1)}
        if single:
            losses['loss_single_label'] = self.single_label_weight * torch.stack(single).mean()
        return losses

    def _single_label_loss(self, proposals: Tensor, logits: list[Tensor], found: InstanceData) -> Tensor:
        """Mean over the class branch and the refinement branches."""
        labels = single_labels(proposals, found.bboxes, found.labels, self.bbox_head.num_classes, self.beta)
        if len(found) == 0:  # an image without pseudo instances must not be treated as background
            return sum(each.sum() for each in logits) * 0
        return torch.stack([F.cross_entropy(each, labels) for each in logits]).mean()

    def ranking_scores(self, cls_logits: Tensor, weight_logits: Tensor, *branches: Tensor) -> Tensor:
        """Ranking scores of the proposals of an image, float (R, C), from the outputs of the head."""
        if self.rank == 'class':
            return self.bbox_head.class_probs(branches[-1] if branches else cls_logits)
        if branches:
            return self.bbox_head.refinement.scores(branches)
        return self.bbox_head.mil_loss.ranking(cls_logits[:, :-1], weight_logits)

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: dict | None,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Scores of proposals per class, in the format of mmdet's box heads; ``rescale`` gives boxes in original pixels.

        With ``rcnn_test_cfg``: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,) after NMS. Without: ``bboxes`` (R, 4 C) and ``scores``
        (R, C + 1), the last column zero.
        """
        proposals = [result.bboxes for result in rpn_results_list]
        results = []
        for boxes, meta, logits in zip(proposals, batch_img_metas, self.logits(x, proposals), strict=True):
            scores = self.ranking_scores(*logits)
            boxes = scale_boxes(boxes, [1 / s for s in meta['scale_factor']]) if rescale else boxes
            boxes = boxes.repeat(1, self.bbox_head.num_classes)
            if rcnn_test_cfg is None:
                results.append(InstanceData(bboxes=boxes, scores=F.pad(scores, (0, 1))))
            else:
                results.append(suppress(InstanceData(bboxes=boxes.view(*scores.shape, 4), scores=scores), rcnn_test_cfg))
        return results
