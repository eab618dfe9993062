"""Labels for the previous stage in backward validation: the detections of a stage (paper Sec. 3.3).

    classification ◀── DetectionLabels ── detection ◀── DetectionLabels ── refinement ◀── DetectionLabels ── segmentation

Shapes: K pseudo instances of one image, (h, w) image. Boxes: float32 xyxy in pixels of the network input.
"""

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from mmlabelpenet.calibration.generators import LabelGenerator
from mmlabelpenet.calibration.reading import Reading, head_masks, suppress
from mmlabelpenet.registry import LABEL_GENERATORS
from mmlabelpenet.schema import check_range
from mmlabelpenet.structures import have_area, pseudo_instances


@LABEL_GENERATORS.register_module()
class DetectionLabels(LabelGenerator):
    """Turns the detections of a stage into labels for the previous stage (backward validation, Sec. 3.3).

    Args:
        min_score: minimum score of further detections of a tag; the best one is always kept (choice L5).
    """

    def __init__(self, min_score: float = 0.3) -> None:
        check_range(0, 1, min_score=min_score)
        self.min_score = min_score

    def explain(self, detector: TwoStageDetector, reading: Reading) -> dict[str, NDArray]:
        """Detections of the image's tags: ``bboxes`` (K, 4), ``labels`` (K,) and, with a mask head, soft ``masks`` (K, h, w)."""
        found = suppress(reading.candidates, detector.roi_head.test_cfg)
        tagged = reading.sample.gt_image_labels.onehot.bool()[found.labels] & have_area(found.bboxes)
        found = found[tagged][found.scores[tagged].argsort(descending=True, stable=True)]
        seen = found.labels.tolist()
        first = torch.tensor([label not in seen[:index] for index, label in enumerate(seen)], dtype=torch.bool, device=found.scores.device)
        found = found[first | (found.scores >= self.min_score)]
        chosen = dict(bboxes=found.bboxes.cpu().numpy(), labels=found.labels.cpu().numpy())
        if detector.with_mask:  # only for detections that become labels: masks take most of the time
            (found,) = detector.roi_head.predict_mask(reading.x, [reading.sample.metainfo], [found], rescale=False)
            chosen['masks'] = head_masks(found, reading.size)
        return chosen

    def label(self, image: NDArray[np.uint8], explanation: dict[str, NDArray]) -> InstanceData:
        """Pseudo instances of weight 1."""
        bboxes, labels = (torch.from_numpy(explanation[name]) for name in ('bboxes', 'labels'))
        masks = explanation.get('masks', np.zeros((len(labels), *image.shape[:2]), np.float32)) > 0.5
        return pseudo_instances(bboxes, labels, masks, torch.ones(len(labels)))
