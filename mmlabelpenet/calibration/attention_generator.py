"""From attention maps to objects: what proposal calibration and the aggregation of masks share (paper Fig. 2, Sec. 3.2).

Shapes: R proposals of one image, C classes, K objects, M members of them, (p, p) RoI grid, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.attention import class_attention, paste_attention
from mmlabelpenet.calibration.belief import inference, read_candidates
from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.calibration.cut import GrabCut
from mmlabelpenet.calibration.label_generator import LabelGenerator
from mmlabelpenet.calibration.objects import FoundObject, find_objects, mask_bbox, mask_inside
from mmlabelpenet.structures import clip_boxes, pseudo_instances
from mmlabelpenet.timing import timed


@dataclass(frozen=True)
class AttentionJob:
    """An image's objects before the CRF.

    Attributes:
        image: RGB uint8 (h, w, 3).
        maps: A^c of each object, float32 (K, h, w).
        proposals: R^c, float32 (K, 4).
        labels: int64 (K,).
        weights: float32 (K,).
    """

    image: np.ndarray
    maps: np.ndarray
    proposals: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class AttentionGenerator(LabelGenerator):
    """What calibration and aggregation share: find objects, sum their proposals' maps, CRF, box of the mask.

    Args:
        max_per_tag, nms_thr, max_candidates, min_score, max_overlap: of :func:`find_objects`.
        weights: what W holds: ``'class'``, the softmax class score of R^c (row C14); ``'score'``, the ranking score divided by
            the image's best; ``'one'`` (row L7).
        crf: settings of :class:`DenseCRF` or the name of a preset (row C12); None takes the attention maps as they are.
        box: of an object (row C13): ``'mask'``, tight around the largest component of its mask; ``'proposal'``, R^c itself, and the mask
            ends at its border.
        cut: settings of :class:`GrabCut`, which cuts each object out by its colours, starting from that box and mask; its box is then tight
            around the cut. None leaves them.
        min_iou: of a mask's box with R^c; below it the object is R^c itself, without a mask (row C13).
        peak: what a map is divided by, see :func:`class_attention` (row C11).
        paste: ``'bilinear'`` or ``'nearest'`` (row C10).
    """

    WEIGHTS = ('class', 'score', 'one')

    def __init__(
        self,
        max_per_tag: int | None = None,
        nms_thr: float = 0.3,
        max_candidates: int = 300,
        min_score: float = 0.3,
        max_overlap: float = 1.0,
        weights: str = 'class',
        crf: dict | str | None = None,
        box: str = 'mask',
        cut: dict | None = None,
        min_iou: float = 0.1,
        peak: float = 1.0,
        paste: str = 'bilinear',
    ) -> None:
        if not 0 < peak <= 1:
            raise ValueError(f'peak is a quantile in (0, 1], got {peak}.')
        if weights not in self.WEIGHTS:
            raise ValueError(f'weights must be one of {self.WEIGHTS}, got {weights!r}.')
        self.selection = dict(
            max_per_label=max_per_tag, nms_thr=nms_thr, max_candidates=max_candidates, min_score=min_score, max_overlap=max_overlap
        )
        self.weights = weights
        self.crf = build_crf(crf)
        if box not in ('mask', 'proposal'):
            raise ValueError(f"box must be 'mask' or 'proposal', got {box!r}.")
        self.box = box
        self.cut = None if cut is None else GrabCut(**cut)
        self.min_iou = min_iou
        self.peak = peak
        self.paste = paste

    def ask(
        self, stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample], images: Sequence[np.ndarray]
    ) -> list[AttentionJob]:
        """Objects and their attention maps."""
        with inference(stage):
            x = stage.extract_feat(feature.float())
            candidates = self.candidates(stage, x, samples)
            return [
                self._ask_about(stage, [level[i : i + 1] for level in x], candidates[i], samples[i], images[i]) for i in range(len(samples))
            ]

    def _ask_about(
        self, stage: TwoStageDetector, x: list[Tensor], candidates: InstanceData, sample: DetDataSample, image: np.ndarray
    ) -> AttentionJob:
        tags = sample.gt_image_labels.onehot.nonzero().flatten().tolist()
        candidates.bboxes = clip_boxes(candidates.bboxes, image.shape)
        objects = find_objects(candidates, tags, **self.selection)
        maps, class_scores = self.attention_maps(stage, x, candidates, objects, image.shape[:2])
        proposals = torch.stack([found.bbox for found in objects]) if objects else candidates.rois.new_zeros(0, 4)
        weights = self._weigh(objects, class_scores)
        labels = np.array([found.label for found in objects], np.int64)
        return AttentionJob(image, maps.cpu().numpy(), proposals.cpu().numpy(), labels, weights.cpu().numpy())

    def finish(self, job: AttentionJob) -> InstanceData:
        """CRF, the box of each mask, and the cut by colours."""
        masks = self.segment(job.image, torch.from_numpy(job.maps))
        refined = [self._box_and_mask(*pair) for pair in zip(masks, torch.from_numpy(job.proposals), strict=True)]
        if self.cut is not None:
            claimed = masks.any(0)
            others = [claimed & ~mask for mask in masks]
            refined = [self.cut.box_and_mask(job.image, mask, bbox, rest) for (bbox, mask), rest in zip(refined, others, strict=True)]
        return pseudo_instances(
            torch.stack([bbox for bbox, _ in refined]) if refined else torch.zeros(0, 4),
            torch.from_numpy(job.labels),
            np.stack([mask for _, mask in refined]) if refined else masks,
            torch.from_numpy(job.weights),
        )

    def _box_and_mask(self, mask: np.ndarray, proposal: Tensor) -> tuple[Tensor, np.ndarray]:
        return (proposal, mask_inside(mask, proposal)) if self.box == 'proposal' else mask_bbox(mask, proposal, self.min_iou)

    def attention_maps(
        self, stage: TwoStageDetector, x: list[Tensor], candidates: InstanceData, objects: list[FoundObject], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """A^c of each object, float (K, h, w), and the class score of its R^c, float (K,)."""
        if not objects:
            return candidates.rois.new_zeros(0, *size), candidates.rois.new_zeros(0)
        grids, boxes, scores = self.member_maps(stage, x, candidates, objects)
        sizes = [len(found.members) for found in objects]
        maps = [paste_attention(*member, size, self.paste) for member in zip(grids.split(sizes), boxes.split(sizes), strict=True)]
        return torch.stack(maps), scores

    def candidates(
        self,
        stage: TwoStageDetector,
        x: tuple[Tensor, ...],
        samples: Sequence[DetDataSample],
        proposals: Sequence[InstanceData] | None = None,
    ) -> list[InstanceData]:
        """See :func:`read_candidates`."""
        return read_candidates(stage, x, samples, proposals)

    def member_maps(
        self, stage: TwoStageDetector, x: list[Tensor], candidates: InstanceData, objects: list[FoundObject]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (M, p, p) of all members, one object's after the other's, the boxes (M, 4) they fill, and the class scores (K,) of R^c."""
        raise NotImplementedError

    def segment(self, image: np.ndarray, maps: Tensor) -> np.ndarray:
        """One mask per object from all attention maps and the background map, jointly.

        Args:
            image: RGB uint8 (h, w, 3).
            maps: float (K, h, w).

        Returns:
            bool (K, h, w), disjoint.
        """
        if len(maps) == 0:
            return np.zeros(tuple(maps.shape), bool)
        attention = class_attention(maps, self.peak).numpy()
        with timed('crf'):
            labels = attention.argmax(0) if self.crf is None else self.crf(image, attention)
        return labels == np.arange(1, len(attention))[:, None, None]

    def _weigh(self, objects: list[FoundObject], class_scores: Tensor) -> Tensor:
        if self.weights == 'class':
            return class_scores.clamp(1e-6, 1)
        scores = class_scores.new_tensor([found.score for found in objects])
        if self.weights == 'one' or len(scores) == 0:
            return torch.ones_like(scores)
        return (scores / scores.max().clamp(min=1e-6)).clamp(1e-6, 1)
