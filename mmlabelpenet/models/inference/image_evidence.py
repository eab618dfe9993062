"""Class scores of the whole image, which weigh the detections of all stages in testing.

A detection stage learns from the boxes of few images, and scores two classes of one look alike. The classification stage (Sec. 3.2) knows
classes from every tag: it scores the whole image as one more proposal, and detections of classes that it holds unlikely are scored lower.

Shapes: C classes, n detections of one image.
"""

from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
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


def weigh_by_evidence(found: InstanceData, evidence: Tensor) -> InstanceData:
    """Detections whose scores are multiplied by the evidence (C,) for their class, best first.

    >>> found = InstanceData(scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 1]))
    >>> weighed = weigh_by_evidence(found, torch.tensor([0.5, 1.0]))
    >>> weighed.labels.tolist(), weighed.scores.tolist()
    ([1, 0], [0.800000011920929, 0.44999998807907104])
    """
    fields = dict(found.items())
    fields['scores'] = found.scores * evidence[found.labels]
    order = fields['scores'].argsort(descending=True, stable=True)
    index = order.cpu().numpy()  # masks may be an array
    return InstanceData(**{name: value[order if isinstance(value, Tensor) else index] for name, value in fields.items()})
