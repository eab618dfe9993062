"""What a stage believes about an image: its proposals with their scores, its detections, its soft masks.

Shapes: N images, R proposals and n detections of one image, C classes, (h, w) image.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.device import get_device
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.structures import hand_over


@contextmanager
def inference(stage: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients (row N9: labels carry none) and without mixed precision, then as before."""
    training = stage.training
    stage.eval()
    try:
        with torch.no_grad(), torch.autocast(get_device(), enabled=False):
            yield
    finally:
        stage.train(training)


def find_proposals(stage: TwoStageDetector, x: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> list[InstanceData]:
    """What a stage looks at: the proposals of its RPN, or those of the samples where it has none; ``bboxes`` and ``scores`` per image."""
    if stage.with_rpn:
        return stage.rpn_head.predict(x, hand_over(samples), rescale=False)
    return [sample.proposals for sample in samples]


def read_candidates(
    stage: TwoStageDetector, x: tuple[Tensor, ...], samples: Sequence[DetDataSample], proposals: Sequence[InstanceData] | None = None
) -> list[InstanceData]:
    """All proposals of a stage with their boxes and scores, before any suppression.

    Args:
        stage: any of the four.
        x: its tail's maps.
        samples: with ``proposals`` where the stage has no RPN.
        proposals: per image, in place of those that :func:`find_proposals` gives.

    Returns:
        per image ``rois`` float (R, 4), ``bboxes`` float (R, C, 4), ``scores`` float (R, C).
    """
    proposals = find_proposals(stage, x, samples) if proposals is None else proposals
    metas = [sample.metainfo for sample in samples]
    raw = stage.roi_head.predict_bbox(x, metas, proposals, rcnn_test_cfg=None, rescale=False)
    num_classes = stage.roi_head.bbox_head.num_classes
    candidates = []
    for proposal, result in zip(proposals, raw, strict=True):
        bboxes = result.bboxes.view(len(proposal), result.bboxes.shape[1] // 4, 4).expand(-1, num_classes, 4)
        candidates.append(InstanceData(rois=proposal.bboxes, bboxes=bboxes, scores=result.scores[:, :num_classes]))
    return candidates


def predict_boxes(stage: TwoStageDetector, x: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> list[InstanceData]:
    """Detections of a stage without the masks that it might have.

    Args:
        stage: any of the four.
        x: its tail's maps.
        samples: with ``proposals`` where the stage has no RPN.

    Returns:
        per image, best first, ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,).
    """
    metas, head = [sample.metainfo for sample in samples], stage.roi_head
    return head.predict_bbox(x, metas, find_proposals(stage, x, samples), rcnn_test_cfg=head.test_cfg, rescale=False)


def head_masks(found: InstanceData, size: tuple[int, int]) -> np.ndarray:
    """Soft masks of a mask head, float32 (n, h, w); mmdet returns them as uint8 0..255 for ``mask_thr_binary=-1``."""
    masks = found.masks.cpu().numpy()[:, : size[0], : size[1]]
    return masks.astype(np.float32) / (255 if masks.dtype == np.uint8 else 1)
