"""What the image as a whole says about its classes, for the scores of all stages in testing.

A detection stage learns from the boxes of few images, and scores two classes of one look alike. The classification stage (Sec. 3.2) knows
classes from every tag: it scores the whole image as one more proposal, and detections of classes that it holds unlikely are scored lower.

Shapes: N images, C classes, n detections of one image.
"""

from collections.abc import Sequence

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor


@torch.no_grad()
def image_evidence(stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample]) -> Tensor:
    """Softmax class scores w^{c,1} of the whole image, as shares of the best class's.

    Args:
        stage: classification.
        feature: shared map, float (N, D, H/s, W/s).
        samples: with ``img_shape``.

    Returns:
        float (N, C) in (0, 1], 1 for each image's best class.
    """
    boxes = [feature.new_tensor([[0, 0, sample.img_shape[1], sample.img_shape[0]]]) for sample in samples]
    logits = stage.roi_head.logits(stage.extract_feat(feature), boxes)
    probs = torch.cat([stage.roi_head.bbox_head.class_probs(each[0]) for each in logits])
    return probs / probs.amax(1, keepdim=True)


def weigh_by_evidence(results: Sequence[InstanceData], evidence: Tensor) -> list[InstanceData]:
    """Detections whose scores are multiplied by the evidence (N, C) for their class, best first.

    >>> found = InstanceData(scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 1]))
    >>> (weighed,) = weigh_by_evidence([found], torch.tensor([[0.5, 1.0]]))
    >>> weighed.labels.tolist(), weighed.scores.tolist()
    ([1, 0], [0.800000011920929, 0.44999998807907104])
    """
    weighed = []
    for found, shares in zip(results, evidence, strict=True):
        fields = dict(found.items())
        fields['scores'] = found.scores * shares[found.labels]
        order = fields['scores'].argsort(descending=True, stable=True)
        index = order.cpu().numpy()  # masks may be an array
        weighed.append(InstanceData(**{name: value[order if isinstance(value, Tensor) else index] for name, value in fields.items()}))
    return weighed
