"""Label generators: convert the outputs of a stage for an image into pseudo instances for the next stage (paper Sec. 3.2, Fig. 1a, Fig. 2).

    classification ── ProposalCalibration ──▶ detection ── ProposalCalibration ──▶ refinement ── MaskAggregation ──▶ segmentation

Proposal calibration is Fig. 2 from left to right, and the order of this file:

    objects      R^c, the best proposals of each tag, and the proposals that each suppresses   (objects.py)
    excitation   attention maps A_i of these proposals on the RoI grid                        (excitation.py)
    attention    A^c, their sum in the image, and the background A_0                          (attention.py)
    CRF          one mask per object that follows the image                                   (crf.py; cut.py)
    labels       the box of each mask, its class, and its weight W

Of the two steps of a generator, :meth:`LabelGenerator.explain` runs the network; :meth:`LabelGenerator.label` may run in another process.

Shapes: R proposals of one image, K objects, M members of them, (p, p) RoI grid, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.calibration.attention import class_attention, paste_attention
from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.calibration.cut import build_cut
from mmlabelpenet.calibration.excitation import proposal_attention
from mmlabelpenet.calibration.objects import FoundObject, distinct, find_objects, inside_box, mask_bbox
from mmlabelpenet.calibration.reading import Reading
from mmlabelpenet.registry import LABEL_GENERATORS
from mmlabelpenet.schema import check_range
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.timing import timed


class LabelGenerator:
    """Converts the outputs of a stage for an image into pseudo instances for the stage that learns from it."""

    reads_activations = False  # whether :meth:`explain` needs the activations of the box head

    def settings(self) -> dict[str, Any]:
        """Everything besides the network that labels depend on: class and attributes.

        A label store made with other settings is stale. A generator whose attributes are not all plain values or dataclasses must override
        this; otherwise a TypeError is raised.
        """
        for name, value in vars(self).items():
            if not isinstance(value, str | int | float | None | dict | list | tuple) and not is_dataclass(value):
                raise TypeError(
                    f'{type(self).__name__}.{name} is a {type(value).__name__}, which a label store cannot record. Override '
                    'settings() to return plain values that identify it.'
                )
        return dict(vars(self), type=type(self).__name__)

    def check(self, detector: TwoStageDetector, stage: str) -> None:
        """Raise a ValueError if the detector of a stage lacks what :meth:`explain` reads."""

    def explain(self, detector: TwoStageDetector, reading: Reading) -> Any:
        """The step that needs the network, in evaluation mode and without gradients; returns a picklable input of :meth:`label`."""
        raise NotImplementedError

    def label(self, image: NDArray[np.uint8], explanation: Any) -> InstanceData:
        """The step without the network: pseudo instances, on the CPU, for an RGB image uint8 (h, w, 3) in the network frame."""
        raise NotImplementedError


@dataclass(frozen=True)
class Explanation:
    """The objects of an image before the CRF, and the reading from which they come; None in other processes."""

    maps: NDArray[np.float32]  # (K, h, w), A^c, unscaled
    bboxes: NDArray[np.float32]  # (K, 4), R^c
    labels: NDArray[np.int64]  # (K,)
    weights: NDArray[np.float32]  # (K,), W
    member_counts: NDArray[np.int64]  # (K,), number of proposals summed in each map
    reading: Reading | None = None

    def __getstate__(self) -> dict:
        """Drop the reading when pickling: it is large, and may be on a GPU."""
        return vars(replace(self, reading=None))


class AttentionGenerator(LabelGenerator):
    """Finds objects, sums the maps of their proposals, and segments them; subclasses define the maps.

    Args:
        max_per_tag, nms_thr, max_candidates, min_score, max_overlap: as for :func:`find_objects`.
        weights: W is ``'class'``, the softmax class score of R^c (choice C14); ``'score'``, the ranking score divided by the best one in
            the image; or ``'one'`` (choice L7).
        crf: settings of :class:`DenseCRF` or the name of a preset (choice C12); None uses the attention maps directly.
        box: of an object (choice C13): ``'mask'``, tight around the largest component of its mask; ``'proposal'``, R^c, which clips the
            mask.
        cut: refinement by colour (not in the paper), which starts from that box and mask, see :func:`build_cut`; None disables it.
        min_iou: minimum IoU of the mask's box with R^c; below it, the object is R^c without a mask (choice C13).
        peak: divisor of a map, see :func:`class_attention` (choice C11).
        paste: ``'bilinear'`` or ``'nearest'`` (choice C10).
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
        if box not in ('mask', 'proposal'):
            raise ValueError(f"box must be 'mask' or 'proposal', got {box!r}.")
        check_range(0, 1, nms_thr=nms_thr, min_score=min_score, max_overlap=max_overlap)
        check_range(0, min_iou=min_iou)  # above 1: always R^c
        check_range(1, max_per_tag=max_per_tag, max_candidates=max_candidates)
        self.selection = dict(
            max_per_tag=max_per_tag, nms_thr=nms_thr, max_candidates=max_candidates, min_score=min_score, max_overlap=max_overlap
        )
        self.weights, self.box, self.min_iou, self.peak, self.paste = weights, box, min_iou, peak, paste
        self.crf, self.cut = build_crf(crf), build_cut(cut)

    def explain(self, detector: TwoStageDetector, reading: Reading) -> Explanation:
        """Objects of the image's tags and their maps (Fig. 2a, 2b and the sum of 2c)."""
        objects = find_objects(reading.candidates, reading.tags, **self.selection)
        maps, class_scores = self.attention_maps(detector, reading, objects)
        bboxes = torch.stack([found.bbox for found in objects]) if objects else class_scores.new_zeros(0, 4)
        labels = np.array([found.label for found in objects], np.int64)
        member_counts = np.array([len(found.members) for found in objects], np.int64)
        weights = self._weigh(objects, class_scores).cpu().numpy()
        return Explanation(maps.cpu().numpy(), bboxes.cpu().numpy(), labels, weights, member_counts, reading)

    def attention_maps(self, detector: TwoStageDetector, reading: Reading, objects: list[FoundObject]) -> tuple[Tensor, Tensor]:
        """A^c of each object, float (K, h, w), and the class score of its R^c, float (K,)."""
        if not objects:
            scores = reading.candidates.scores
            return scores.new_zeros(0, *reading.size), scores.new_zeros(0)
        members = torch.cat([found.members for found in objects])
        labels = torch.cat([self.member_labels(reading, found) for found in objects])
        pairs, where = distinct(members, labels)
        grids, boxes = self.member_maps(detector, reading, *pairs)
        sizes = [len(found.members) for found in objects]
        maps = [paste_attention(grids[part], boxes[part], reading.size, self.paste) for part in where.split(sizes)]
        return torch.stack(maps), self.object_scores(detector, reading, objects)

    def member_labels(self, reading: Reading, found: FoundObject) -> Tensor:
        """The class of each member's map, int64 (M,)."""
        return torch.full_like(found.members, found.label)

    def member_maps(self, detector: TwoStageDetector, reading: Reading, members: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (M, p, p) of proposals, given by index (M,) and class (M,), and the boxes (M, 4) that they cover."""
        raise NotImplementedError

    def object_scores(self, detector: TwoStageDetector, reading: Reading, objects: list[FoundObject]) -> Tensor:
        """Class score of each object's R^c, float (K,): the score by which it was ranked."""
        return reading.candidates.scores[[found.best for found in objects], [found.label for found in objects]]

    def label(self, image: NDArray[np.uint8], explanation: Explanation) -> InstanceData:
        """Masks S by the CRF (Fig. 2c), the box B of each, and its weight W; optionally refined by colour (not in the paper)."""
        attention = class_attention(torch.from_numpy(explanation.maps), self.peak)
        masks, bboxes = self.segment(image, attention.numpy()), torch.from_numpy(explanation.bboxes)
        for index, proposal in enumerate(bboxes.clone()):
            if self.box == 'proposal':
                masks[index] &= inside_box(masks.shape[1:], proposal)
            else:
                bboxes[index], masks[index] = mask_bbox(masks[index], proposal, self.min_iou)
        if self.cut is not None:
            others, cores = masks.any(0) & ~masks, self.cores(masks, explanation.maps)
            soft = (attention[1:] / attention.sum(0).clamp(min=1e-6)).numpy()
            bboxes, masks = self.cut.boxes_and_masks(image, masks, bboxes, others, cores, soft)
        return pseudo_instances(bboxes, torch.from_numpy(explanation.labels), masks, torch.from_numpy(explanation.weights))

    def cores(self, masks: NDArray[np.bool_], maps: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Masks (K, h, w) from which cuts start."""
        return masks

    def segment(self, image: NDArray[np.uint8], attention: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Disjoint masks of the objects, bool (K, h, w), from the attention maps A_0 (background) to A_K in [0, 1], float (K + 1, h, w)."""
        with timed('crf'):
            labels = attention.argmax(0) if self.crf is None or len(attention) == 1 else self.crf(image, attention)
        return labels == np.arange(1, len(attention))[:, None, None]

    def _weigh(self, objects: list[FoundObject], class_scores: Tensor) -> Tensor:
        if self.weights == 'class':
            return class_scores.clamp(1e-6, 1)
        scores = class_scores.new_tensor([found.score for found in objects])
        if self.weights == 'one' or len(scores) == 0:
            return torch.ones_like(scores)
        return (scores / scores.max().clamp(min=1e-6)).clamp(min=1e-6)


@LABEL_GENERATORS.register_module()
class ProposalCalibration(AttentionGenerator):
    """Proposal calibration (Fig. 2): excitation backprop from the class layer to the RoI grid, summed over suppressed proposals.

    Args:
        start: start class of each map of A^c: ``'tag'``, c; ``'argmax'``, the proposal's best class among the tags; ``'argmax_all'``, its
            best class overall (choices C4, C5).
        **kwargs: as for :class:`AttentionGenerator`.
    """

    reads_activations = True

    def __init__(self, start: str = 'tag', **kwargs) -> None:
        super().__init__(**kwargs)
        if start not in ('tag', 'argmax', 'argmax_all'):
            raise ValueError(f"start must be 'tag', 'argmax' or 'argmax_all', got {start!r}.")
        self.start = start

    def check(self, detector: TwoStageDetector, stage: str) -> None:
        """Excitation backprop needs a box head of this package, of fully connected layers."""
        head = detector.roi_head.bbox_head
        if not hasattr(head, 'linear_layers'):
            raise ValueError(
                f"{type(self).__name__} of stage {stage!r} needs a bbox_head with excitation backprop, such as 'WeightedBBoxHead', got "
                f'{type(head).__name__}.'
            )
        head.linear_layers()

    def member_maps(self, detector: TwoStageDetector, reading: Reading, members: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Attention maps A_i of the members at their RoIs."""
        rois, extractor, head = reading.candidates.rois[members], detector.roi_head.bbox_roi_extractor, detector.roi_head.bbox_head
        feats = extractor(reading.x[: extractor.num_inputs], bbox2roi([rois]))
        return proposal_attention(feats, head, labels, [values[members] for values in reading.activations]), rois

    def object_scores(self, detector: TwoStageDetector, reading: Reading, objects: list[FoundObject]) -> Tensor:
        """Softmax class scores."""
        best, classes = [found.best for found in objects], [found.label for found in objects]
        return detector.roi_head.bbox_head.class_probs(reading.activations[-1][best])[range(len(objects)), classes]

    def member_labels(self, reading: Reading, found: FoundObject) -> Tensor:
        """Start class of the excitation of each member."""
        if self.start == 'tag':
            return super().member_labels(reading, found)
        scores = reading.candidates.scores[found.members]
        if self.start == 'argmax_all':
            return scores.argmax(1)
        tags = torch.tensor(found.tags, device=found.members.device)
        return tags[scores[:, tags].argmax(1)]


@LABEL_GENERATORS.register_module()
class MaskAggregation(AttentionGenerator):
    """Masks of an object and of the detections it suppresses, weighted by score and summed (instance refinement, choice L6)."""

    def check(self, detector: TwoStageDetector, stage: str) -> None:
        """The stage needs a mask head."""
        if not detector.with_mask:
            raise ValueError(f"{type(self).__name__} needs a mask head, and stage {stage!r} has none: use 'ProposalCalibration'.")

    def member_maps(self, detector: TwoStageDetector, reading: Reading, members: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Soft masks of the members at their regressed boxes."""
        candidates = reading.candidates
        boxes, scores = candidates.bboxes[members, labels], candidates.scores[members, labels]
        extractor = detector.roi_head.mask_roi_extractor
        feats = extractor(reading.x[: extractor.num_inputs], bbox2roi([boxes]))
        head = detector.roi_head.mask_head
        logits = head(feats)[torch.arange(len(labels), device=labels.device), 0 if head.class_agnostic else labels]
        return logits.sigmoid() * scores[:, None, None], boxes
