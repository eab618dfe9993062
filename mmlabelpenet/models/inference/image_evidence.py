"""Class scores of the whole image, which weigh the detections of all stages in testing.

A detection stage learns from the boxes of few images, and scores two classes of one look alike. The classification stage (Sec. 3.2) knows
classes from every tag: it scores the whole image as one more proposal, and detections of classes that it holds unlikely are scored lower.

Shapes: C classes.
"""

from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from torch import Tensor


def image_evidence(detector: TwoStageDetector, x: tuple[Tensor, ...], sample: DetDataSample) -> Tensor:
    """Class scores (C,) in (0, 1] of the whole image, by the detector of the stage that learns from tags and the maps of its tail.

    They are the tag head's probabilities or, without one, softmax scores w^{c,1} divided by the best of them.
    """
    if detector.roi_head.tag_head is not None:
        return detector.roi_head.tag_probs(x, sample)
    height, width = sample.img_shape[:2]
    ((logits, *_),) = detector.roi_head.logits(x, [x[0].new_tensor([[0, 0, width, height]])])
    (probs,) = detector.roi_head.bbox_head.class_probs(logits)
    return probs / probs.max()
