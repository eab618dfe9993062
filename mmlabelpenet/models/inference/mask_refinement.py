"""Masks in testing: of a mask head, or calibrated for a stage that has none; refined by the CRF (row L11) and cut by colours, with boxes.

Shapes: n detections of one image, R proposals, C classes, (h, w) image.
Boxes: float32 xyxy in pixels of the network input; of the original image where ``rescale`` is set.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.attention import class_attention
from mmlabelpenet.calibration.attention_generator import AttentionGenerator
from mmlabelpenet.calibration.belief import head_masks
from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.calibration.cut import GrabCut
from mmlabelpenet.calibration.generators import ProposalCalibration
from mmlabelpenet.calibration.objects import FoundObject


class MaskRefinement:
    """Turns soft masks of the best detections into masks, and boxes, that follow the image.

    Args:
        crf: settings of :class:`DenseCRF` or the name of a preset, run on each detection's surroundings; None thresholds at 0.5.
        max_masks: the best so many detections get a calibrated or refined mask. Beyond them a mask head's mask is thresholded, and
            a calibrated one is left empty.
        min_score: as above, for the score.
        margin: of the surroundings, as a share of the box.
        cut: settings of :class:`GrabCut`, which cuts these objects, mask and box, out by their colours, as labels are; None leaves them.
    """

    def __init__(
        self, crf: dict | str | None = None, max_masks: int = 20, min_score: float = 0.0, margin: float = 0.25, cut: dict | None = None
    ) -> None:
        self.crf = build_crf(crf)
        self.cut = None if cut is None else GrabCut(**cut)
        self.max_masks, self.min_score, self.margin = max_masks, min_score, margin

    def __call__(self, image: np.ndarray, found: InstanceData, soft: np.ndarray) -> InstanceData:
        """Detections with binary masks, as a new object.

        Args:
            image: RGB uint8 (h, w, 3).
            found: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,), best first.
            soft: float (n, h, w) in [0, 1].

        Returns:
            the same detections with ``masks`` bool (n, h, w); ``bboxes`` of what was cut out are those of the cuts.
        """
        bboxes, masks = found.bboxes.to('cpu', copy=True), soft > 0.5
        for index, bbox in enumerate(bboxes[: self.max_masks]):
            rows, columns = self._surroundings(bbox.tolist(), image.shape[:2])
            inside = soft[index, rows, columns]
            if found.scores[index] < self.min_score or not inside.any():
                continue
            if self.crf is not None:
                masks[index] = False
                masks[index, rows, columns] = self.crf(image[rows, columns], np.stack([1 - inside, inside])) == 1
            if self.cut is not None:
                bboxes[index], masks[index] = self.cut.box_and_mask(image, masks[index], bbox)
        return InstanceData(bboxes=bboxes.to(found.bboxes.device), scores=found.scores, labels=found.labels, masks=masks)

    def _surroundings(self, box: list[float], size: tuple[int, int]) -> tuple[slice, slice]:
        x1, y1, x2, y2 = box
        dx, dy = self.margin * (x2 - x1), self.margin * (y2 - y1)
        top, bottom = max(0, int(y1 - dy)), min(size[0], int(np.ceil(y2 + dy)))
        left, right = max(0, int(x1 - dx)), min(size[1], int(np.ceil(x2 + dx)))
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def supported_objects(generator: ProposalCalibration, candidates: InstanceData, found: InstanceData) -> list[FoundObject]:
    """Detections with the candidates that they suppress; ``found`` may be shorter than the stage's result."""
    objects = []
    for box, label, score in zip(found.bboxes, found.labels.tolist(), found.scores.tolist(), strict=True):
        overlap = bbox_overlaps(box[None], candidates.bboxes[:, label])[0]
        members = (overlap > generator.selection['nms_thr']).nonzero().flatten()
        members = members[candidates.scores[members, label].argsort(descending=True)[: generator.selection['max_candidates']]]
        best = int(overlap.argmax())
        objects.append(FoundObject(label, box, score, best, torch.unique(torch.cat([members, members.new_tensor([best])])), (label,)))
    return objects


def calibrated_masks(
    stage: TwoStageDetector, generator: ProposalCalibration, x: list[Tensor], candidates: InstanceData, found: InstanceData, size: tuple
) -> np.ndarray:
    """Attention maps of detections, float32 (n, h, w) in [0, 1]."""
    maps, _ = generator.attention_maps(stage, x, candidates, supported_objects(generator, candidates, found), size)
    return class_attention(maps, generator.peak)[1:].cpu().numpy()


@torch.no_grad()
def add_masks(
    stage: TwoStageDetector,
    generator: AttentionGenerator | None,
    feature: Tensor,
    samples: Sequence[DetDataSample],
    results: Sequence[InstanceData],
    images: Sequence[np.ndarray],
    refinement: MaskRefinement,
) -> list[InstanceData]:
    """Results with ``masks`` bool (n, h, w) in the frame of the network input, where the stage can have them.

    Args:
        stage: with a mask head, or without one.
        generator: calibration of a stage without a mask head; None leaves its results without masks.
        feature: shared map.
        samples: of the data set.
        results: of ``stage.predict``.
        images: RGB uint8 (h, w, 3).
        refinement: of the soft masks.
    """
    if stage.with_mask:
        soft = [head_masks(found, image.shape[:2]) for found, image in zip(results, images, strict=True)]
    elif generator is not None:
        x = stage.extract_feat(feature)
        candidates = generator.candidates(stage, x, samples)
        soft = []
        for i, (found, image) in enumerate(zip(results, images, strict=True)):
            maps = np.zeros((len(found), *image.shape[:2]), np.float32)
            best = found[: refinement.max_masks]
            maps[: len(best)] = calibrated_masks(stage, generator, [level[i : i + 1] for level in x], candidates[i], best, image.shape[:2])
            soft.append(maps)
    else:
        return list(results)
    return [refinement(image, found, s) for found, image, s in zip(results, images, soft, strict=True)]


def rescale_results(results: Sequence[InstanceData], samples: Sequence[DetDataSample]) -> list[InstanceData]:
    """Boxes and masks in pixels of the original image."""
    rescaled = []
    for found, sample in zip(results, samples, strict=True):
        new = InstanceData(
            bboxes=found.bboxes / found.bboxes.new_tensor(sample.scale_factor).repeat(2), scores=found.scores, labels=found.labels
        )
        if 'masks' in found:
            new.masks = resize_masks(found.masks, tuple(sample.ori_shape[:2]))
        rescaled.append(new)
    return rescaled


def resize_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest-neighbour masks of another size, bool ``(n, *size)``.

    >>> resize_masks(np.ones((2, 3, 4), bool), (6, 8)).shape
    (2, 6, 8)
    """
    if masks.shape[1:] == size:
        return masks
    resized = [cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) for mask in masks]
    return np.stack(resized).astype(bool) if resized else np.zeros((0, *size), bool)
