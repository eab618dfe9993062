"""Readings: the outputs of a stage for an image, that is the feature maps of its tail, its scored proposals and its detections.

A reading is computed once per image and stage, with one pass through tail and head; labels, detections, masks and figures are all derived
from it.

Shapes: R proposals and n detections of one image, C classes, D_l width of layer l of the box head, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import multiclass_nms
from mmdet.structures import DetDataSample
from mmengine.device import get_device
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.excitation import recorded
from mmlabelpenet.structures import clip_boxes, hand_over


@dataclass(frozen=True)
class Reading:
    """The outputs of a stage for one image.

    Attributes:
        x: maps of the stage's tail, float (1, D, h', w') each.
        sample: of the image.
        candidates: all proposals before NMS: ``rois`` float (R, 4), ``bboxes`` float (R, C, 4), ``scores`` float (R, C).
        activations: as returned by :func:`recorded`, float (R, D_l) each; empty if not recorded or without proposals.
        shared: map that the tail reads, float (1, D, h'', w'').
        enlarged: returns that map of the image enlarged by a factor; None if only the image's own map is available.
        memo: what label generators have computed for the view, by generator; all readings of a view share it.
        keep: returns the result of a computation, from a feature cache if possible, see :meth:`FeatureCache.of_stage`; its arguments are
            the layers on which the map depends, name and settings, and the computation.
    """

    x: tuple[Tensor, ...]
    sample: DetDataSample
    candidates: InstanceData
    activations: tuple[Tensor, ...] = ()
    shared: Tensor | None = None
    enlarged: Callable[[float], Tensor] | None = None
    memo: dict = field(default_factory=dict)
    keep: Callable[[Sequence[torch.nn.Module], Any, Callable[[], Tensor]], Tensor] = lambda layers, what, compute: compute()

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the network input, without padding."""
        return tuple(self.sample.img_shape[:2])

    @property
    def tags(self) -> list[int]:
        """Labels of the image's tags."""
        return self.sample.gt_image_labels.onehot.nonzero().flatten().tolist()


@contextmanager
def inference(stage: torch.nn.Module) -> Iterator[None]:
    """Switch to evaluation mode (choice N9) without gradients (choice L9) and without mixed precision, then restore."""
    training = stage.training
    if training:  # otherwise all its parts are in evaluation mode already
        stage.eval()
    try:
        with torch.no_grad(), torch.autocast(get_device(), enabled=False):
            yield
    finally:
        if training:
            stage.train()


def find_proposals(detector: TwoStageDetector, x: tuple[Tensor, ...], sample: DetDataSample) -> InstanceData:
    """Proposals of a stage: those of its RPN, or those of the sample if it has no RPN; ``bboxes`` and ``scores``.

    An image without proposals raises a ValueError if the stage has no RPN.
    """
    if detector.with_rpn:
        return detector.rpn_head.predict(x, hand_over([sample]), rescale=False)[0]
    if 'proposals' not in sample:
        raise ValueError(
            'A stage without RPN, such as classification, needs proposals, but this image has none. '
            'Use mmlabelpenet.apis.LabelPENetInferencer, which computes them, or a data set with proposals.'
        )
    return sample.proposals


def read(detector: TwoStageDetector, x: tuple[Tensor, ...], sample: DetDataSample, proposals: InstanceData, record: bool) -> Reading:
    """Score the proposals of one image, as returned by :func:`find_proposals`, with a detector in evaluation mode.

    ``x`` are maps of its tail, float (1, D, h', w') each; ``record`` keeps the activations of the box head.
    """
    head = detector.roi_head
    with recorded(head.bbox_head.linear_layers()) if record else nullcontext() as found:
        (raw,) = head.predict_bbox(x, [sample.metainfo], [proposals], rcnn_test_cfg=None, rescale=False)
    num_classes = head.bbox_head.num_classes
    bboxes = clip_boxes(raw.bboxes.view(len(proposals), raw.bboxes.shape[1] // 4, 4), sample.img_shape).expand(-1, num_classes, 4)
    candidates = InstanceData(rois=proposals.bboxes, bboxes=bboxes, scores=raw.scores[:, :num_classes])
    return Reading(x, sample, candidates, tuple(torch.cat(passes) for passes in found) if found and found[-1] else ())


def mean_candidates(outputs: Sequence[InstanceData]) -> InstanceData:
    """Average the outputs of several heads for the same proposals: ``rois`` (R, 4), ``bboxes`` (R, C, 4), ``scores`` (R, C)."""
    if len(outputs) == 1:
        return outputs[0]
    bboxes, scores = (torch.stack([each[field] for each in outputs]).mean(0) for field in ('bboxes', 'scores'))
    return InstanceData(rois=outputs[0].rois, bboxes=bboxes, scores=scores)


def suppress(candidates: InstanceData, cfg: dict) -> InstanceData:
    """Detections, sorted by descending score (``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,)): NMS per class, as in mmdet's box heads.

    Args:
        candidates: ``bboxes`` float (R, C, 4), ``scores`` float (R, C).
        cfg: ``test_cfg.rcnn`` of a detector: ``score_thr``, ``nms``, ``max_per_img``.
    """
    if len(candidates) == 0:
        bboxes, scores = candidates.bboxes.new_zeros(0, 4), candidates.scores.new_zeros(0)
        return InstanceData(bboxes=bboxes, scores=scores, labels=scores.long())
    kept, labels = multiclass_nms(candidates.bboxes.flatten(1), F.pad(candidates.scores, (0, 1)), cfg.score_thr, cfg.nms, cfg.max_per_img)
    return InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)


def head_masks(found: InstanceData, size: tuple[int, int]) -> np.ndarray:
    """Soft masks of a mask head, float32 (n, h, w); with ``mask_thr_binary=-1``, mmdet returns them as uint8 0..255."""
    masks = found.masks.cpu().numpy()[:, : size[0], : size[1]]
    return masks.astype(np.float32) / (255 if masks.dtype == np.uint8 else 1)
