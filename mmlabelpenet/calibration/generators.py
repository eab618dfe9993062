"""The label generators: from a stage's state on an image to pseudo instances for its neighbour (paper Fig. 1a, Fig. 2, Sec. 3.3).

    classification ── ProposalCalibration ──▶ detection ── ProposalCalibration ──▶ refinement ── MaskAggregation ──▶ segmentation
    classification ◀── DetectionLabels ────── detection ◀── DetectionLabels ────── refinement ◀── DetectionLabels ── segmentation

Shapes: N images, R proposals of one image, C classes, K pseudo instances, (p, p) RoI grid, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.attention_generator import AttentionGenerator
from mmlabelpenet.calibration.belief import head_masks, inference, predict_boxes, read_candidates
from mmlabelpenet.calibration.excitation import proposal_attention, recorded
from mmlabelpenet.calibration.label_generator import LabelGenerator
from mmlabelpenet.calibration.objects import FoundObject
from mmlabelpenet.registry import LABEL_GENERATORS
from mmlabelpenet.structures import clip_boxes, hand_over, have_area, pseudo_instances


@LABEL_GENERATORS.register_module()
class ProposalCalibration(AttentionGenerator):
    """Proposal calibration (Fig. 2): excitation backprop from the class layer to the RoI grid, summed over suppressed proposals.

    Args:
        start: ``'tag'``, all maps of A^c start at class c; ``'argmax'``, each at its own best class among the tags; ``'argmax_all'``, at
            its best of all classes (rows C4, C5).
        **kwargs: of :class:`AttentionGenerator`.
    """

    def __init__(self, start: str = 'tag', **kwargs) -> None:
        super().__init__(**kwargs)
        if start not in ('tag', 'argmax', 'argmax_all'):
            raise ValueError(f"start must be 'tag', 'argmax' or 'argmax_all', got {start!r}.")
        self.start = start

    def candidates(
        self,
        stage: TwoStageDetector,
        x: tuple[Tensor, ...],
        samples: Sequence[DetDataSample],
        proposals: Sequence[InstanceData] | None = None,
    ) -> list[InstanceData]:
        """See :func:`read_candidates`; ``hidden_0``, ``hidden_1`` ... (R, ...) are the head's activations for :meth:`member_maps`."""
        with recorded(stage.roi_head.bbox_head.linear_layers()) as record:
            found = read_candidates(stage, x, samples, proposals)
        if record[-1]:  # there is a proposal
            for number, passes in enumerate(record):
                for candidates, hidden in zip(found, torch.cat(passes).split([len(c) for c in found]), strict=True):
                    candidates.set_field(hidden, f'hidden_{number}')
        return found

    def member_maps(
        self, stage: TwoStageDetector, x: list[Tensor], candidates: InstanceData, objects: list[FoundObject]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attention maps A_i of the members at their RoIs."""
        members = torch.cat([found.members for found in objects])
        labels = torch.cat([self._starts(candidates, found) for found in objects])
        extractor, head = stage.roi_head.bbox_roi_extractor, stage.roi_head.bbox_head
        feats = extractor(tuple(x[: extractor.num_inputs]), bbox2roi([candidates.rois[members]]))
        hidden = [candidates.get(f'hidden_{number}') for number in range(len(head.linear_layers()))]
        maps, _ = proposal_attention(feats, head, labels, [values[members] for values in hidden])
        best, classes = [found.best for found in objects], [found.label for found in objects]
        return maps, candidates.rois[members], head.class_probs(hidden[-1][best])[range(len(objects)), classes]

    def _starts(self, candidates: InstanceData, found: FoundObject) -> Tensor:
        """Class from which the excitation of each member starts, int64 (M,)."""
        if self.start == 'tag':
            return found.members.new_full((len(found.members),), found.label)
        scores = candidates.scores[found.members]
        if self.start == 'argmax_all':
            return scores.argmax(1)
        rivals = torch.tensor(found.rivals, device=found.members.device)
        return rivals[scores[:, rivals].argmax(1)]


@LABEL_GENERATORS.register_module()
class MaskAggregation(AttentionGenerator):
    """Masks of an object and of the detections it suppresses, weighted by score and summed (instance refinement, row L6)."""

    def member_maps(
        self, stage: TwoStageDetector, x: list[Tensor], candidates: InstanceData, objects: list[FoundObject]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Soft masks of the members at their regressed boxes."""
        members = torch.cat([found.members for found in objects])
        labels = torch.cat([found.members.new_full((len(found.members),), found.label) for found in objects])
        boxes, scores = candidates.bboxes[members, labels], candidates.scores[members, labels]
        extractor = stage.roi_head.mask_roi_extractor
        feats = extractor(tuple(x[: extractor.num_inputs]), bbox2roi([boxes]))
        logits = stage.roi_head.mask_head(feats)[torch.arange(len(labels), device=labels.device), labels]
        best, classes = [found.best for found in objects], [found.label for found in objects]
        return logits.sigmoid() * scores[:, None, None], boxes, candidates.scores[best, classes]


@LABEL_GENERATORS.register_module()
class DetectionLabels(LabelGenerator):
    """A stage's detections as labels for the stage before it (backward validation, Sec. 3.3).

    Args:
        min_score: the best detection of a tag is always kept, further ones from this score on (row L5).
    """

    def __init__(self, min_score: float = 0.3) -> None:
        self.min_score = min_score

    def ask(
        self, stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample], images: Sequence[np.ndarray]
    ) -> list[InstanceData]:
        """Pseudo instances per image, weight 1."""
        with inference(stage):
            x, fresh = stage.extract_feat(feature.float()), hand_over(samples)
            found = [self._choose(*pair) for pair in zip(predict_boxes(stage, x, fresh), samples, strict=True)]
            if stage.with_mask:  # of those alone that become labels: masks take most of the time
                found = stage.roi_head.predict_mask(x, [sample.metainfo for sample in fresh], found, rescale=False)
        return [self._as_labels(*pair) for pair in zip(found, images, strict=True)]

    def finish(self, job: InstanceData) -> InstanceData:
        """Nothing is left to do."""
        return job

    def _choose(self, found: InstanceData, sample: DetDataSample) -> InstanceData:
        found.bboxes = clip_boxes(found.bboxes, sample.img_shape)
        tagged = sample.gt_image_labels.onehot.bool()[found.labels] & have_area(found.bboxes)
        found = found[tagged][found.scores[tagged].argsort(descending=True, stable=True)]
        first = torch.ones_like(found.labels, dtype=torch.bool)
        for index, label in enumerate(found.labels):
            first[index] = not (found.labels[:index] == label).any()
        return found[first | (found.scores >= self.min_score)]

    @staticmethod
    def _as_labels(found: InstanceData, image: np.ndarray) -> InstanceData:
        masks = np.zeros((len(found), *image.shape[:2]), bool)
        if 'masks' in found:
            masks = head_masks(found, image.shape[:2]) > 0.5
        return pseudo_instances(found.bboxes, found.labels, masks, torch.ones_like(found.scores))
