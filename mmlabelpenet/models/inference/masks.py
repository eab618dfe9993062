"""Masks at test time: from a mask head or, for a stage without one, from calibration.

They are refined by the CRF (choice L11) and by colour, which also refines boxes.

Soft masks are averaged over the views of an image: probabilities of a mask head on the RoI grid, or attention maps in the image.

Shapes: n detections of one image, R proposals, C classes, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.attention import class_attention
from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.calibration.cut import build_cut
from mmlabelpenet.calibration.generators import AttentionGenerator
from mmlabelpenet.calibration.objects import FoundObject, window
from mmlabelpenet.calibration.reading import Reading, head_masks
from mmlabelpenet.models.inference.views import merge_candidates, move_boxes, move_maps
from mmlabelpenet.schema import check_range


class MaskRefinement:
    """Refines soft masks of the highest-scoring detections, and boxes, so that they follow the image.

    Args:
        crf: settings of :class:`DenseCRF` or the name of a preset, run on a window around each detection; None thresholds at 0.5.
        max_masks: maximum number of detections with a calibrated or refined mask. For the others, masks of a mask head are thresholded and
            calibrated ones are empty.
        min_score: minimum score of such detections.
        margin: margin of the window as a fraction of the box.
        cut: refinement of these masks and boxes by colour, see :func:`build_cut`; None disables it.
    """

    def __init__(
        self,
        crf: dict | str | None = None,
        max_masks: int = 20,
        min_score: float = 0.0,
        margin: float = 0.25,
        cut: dict | None = None,
    ) -> None:
        check_range(0, max_masks=max_masks, margin=margin)
        check_range(0, 1, min_score=min_score)
        self.crf = build_crf(crf)
        self.cut = build_cut(cut)
        self.max_masks, self.min_score, self.margin = max_masks, min_score, margin

    def __call__(self, image: np.ndarray, found: InstanceData, soft: np.ndarray) -> InstanceData:
        """The detections, by descending score, with ``masks`` bool (n, h, w); the boxes of refined objects are moved towards
        those of their cuts.

        Args:
            image: RGB uint8 (h, w, 3).
            found: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,).
            soft: float (n, h, w) in [0, 1].
        """
        count = int((found.scores[: self.max_masks] >= self.min_score).sum())
        bboxes, guesses = found.bboxes.cpu(), soft[:count]
        if self.crf is not None:
            guesses = np.stack([self._by_crf(image, *pair) for pair in zip(guesses, bboxes)]) if count else guesses
        tight, masks = bboxes[:count], guesses > 0.5
        if self.cut is not None:
            tight, masks = self.cut.boxes_and_masks(image, masks, tight, soft=guesses)
        return InstanceData(
            bboxes=torch.cat([tight, bboxes[count:]]).to(found.bboxes.device),
            scores=found.scores,
            labels=found.labels,
            masks=np.concatenate([masks, soft[count:] > 0.5]),
        )

    def _by_crf(self, image: np.ndarray, soft: np.ndarray, bbox: Tensor) -> np.ndarray:
        """Mask of an object, 0 or 1 as float (h, w), empty outside the window around its box; a soft mask without pixels there is
        unchanged.
        """
        rows, columns = window(image.shape[:2], bbox.tolist(), self.margin)
        mask, inside = np.zeros_like(soft), soft[rows, columns]
        if not inside.any():
            return soft
        mask[rows, columns] = self.crf(image[rows, columns], np.stack([1 - inside, inside]))
        return mask


def soft_masks(
    detector: TwoStageDetector, generator: AttentionGenerator | None, readings: Sequence[Reading], found: InstanceData, limit: int
) -> np.ndarray:
    """Soft masks of detections (by descending score), float32 (n, h, w) in [0, 1], from the readings of an image, one per view.

    A detector without a mask head uses the calibration of a generator, for the first ``limit`` detections; other masks are zero.
    """
    if detector.with_mask:
        return merged_head_masks(detector.roi_head, readings, found)
    maps = merged_attention(detector, generator, readings, found[:limit])
    return np.pad(maps, ((0, len(found) - len(maps)), (0, 0), (0, 0)))


def merged_head_masks(roi_head: StandardRoIHead, readings: Sequence[Reading], found: InstanceData) -> np.ndarray:
    """Soft masks (n, h, w) of the mask head, averaged over the views on the RoI grid and pasted once."""
    first, extractor, total = readings[0], roi_head.mask_roi_extractor, 0
    if len(found) == 0:
        return np.zeros((0, *first.size), np.float32)
    for reading in readings:
        rois = bbox2roi([move_boxes(found.bboxes, first.sample, reading.sample)])
        probs = roi_head.mask_head(extractor(reading.x[: extractor.num_inputs], rois)).sigmoid()
        total = total + (probs.flip(-1) if reading.sample.get('flip', False) else probs) / len(readings)
    (pasted,) = roi_head.mask_head.predict_by_feat(
        mask_preds=(total.cpu().numpy(),),
        results_list=[InstanceData(bboxes=found.bboxes, scores=found.scores, labels=found.labels)],
        batch_img_metas=[first.sample.metainfo],
        rcnn_test_cfg=roi_head.test_cfg,
        rescale=False,
        activate_map=True,  # these are probabilities
    )
    return head_masks(pasted, first.size)


def merged_attention(
    detector: TwoStageDetector, generator: AttentionGenerator, readings: Sequence[Reading], found: InstanceData
) -> np.ndarray:
    """Attention maps (n, h, w) in [0, 1] of detections, averaged over the views of the same proposals."""
    objects, total = supported_objects(generator, merge_candidates(readings), found), 0
    for reading in readings:
        maps, _ = generator.attention_maps(detector, reading, objects)
        total = total + move_maps(maps, reading.sample, readings[0].sample) / len(readings)
    return class_attention(total, generator.peak)[1:].cpu().numpy()


def supported_objects(generator: AttentionGenerator, candidates: InstanceData, found: InstanceData) -> list[FoundObject]:
    """Detections with the candidates that they suppress; ``found`` may be shorter than the stage's result."""
    objects = []
    for box, label, score in zip(found.bboxes, found.labels.tolist(), found.scores.tolist(), strict=True):
        overlap = bbox_overlaps(box[None], candidates.bboxes[:, label])[0]
        members = (overlap > generator.selection['nms_thr']).nonzero().flatten()
        members = members[candidates.scores[members, label].argsort(descending=True)[: generator.selection['max_candidates']]]
        best = int(overlap.argmax())
        objects.append(FoundObject(label, box, score, best, torch.unique(torch.cat([members, members.new_tensor([best])])), (label,)))
    return objects


def rescale_result(found: InstanceData, sample: DetDataSample) -> InstanceData:
    """Boxes and masks in pixels of the original image."""
    scale = found.bboxes.new_tensor(sample.scale_factor).repeat(2)
    rescaled = InstanceData(bboxes=found.bboxes / scale, scores=found.scores, labels=found.labels)
    if 'masks' in found:
        rescaled.masks = resize_masks(found.masks, tuple(sample.ori_shape[:2]))
    return rescaled


def resize_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize masks by nearest neighbours, bool ``(n, *size)``.

    >>> resize_masks(np.ones((2, 3, 4), bool), (6, 8)).shape
    (2, 6, 8)
    """
    if masks.shape[1:] == size:
        return masks
    resized = [cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) for mask in masks]
    return np.stack(resized).astype(bool) if resized else np.zeros((0, *size), bool)
