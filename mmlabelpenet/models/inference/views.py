"""Detections from the readings of a stage, for one view of an image or for several that are merged before NMS (choice L11).

Every view scores the same proposals, so scores and boxes can be averaged per proposal before a single NMS:

    proposals   those of the data set, or those of the RPN in all views, after a common NMS
    scores      mean of (R, C) over the views; boxes: mean of (R, C, 4)

Everything that is merged is in the frame of the first view, which is not flipped. Without test-time augmentation there is one view.

Shapes: R proposals of one image, C classes, D channels, stride s, n detections.
Boxes: float32 xyxy in pixels of the network input of a view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.reading import Reading, find_proposals, mean_candidates, read, suppress
from mmlabelpenet.models.feature_cache import MapKey
from mmlabelpenet.structures import upright_boxes


@dataclass(frozen=True)
class View:
    """One view of an image.

    Attributes:
        feature: shared map, float (1, D, H/s, W/s).
        sample: of the image.
        key: key of the map in a feature cache.
        enlarged: returns the shared map of the image enlarged by a factor, which is computed on the first request; None if only the image's
            own map is available.
        maps: maps of the tails that have run on it, float (1, D, h', w') each, by stage name.
        memo: what label generators have computed for it, see :class:`~mmlabelpenet.calibration.reading.Reading`.
    """

    feature: Tensor
    sample: DetDataSample
    key: MapKey | None = None
    enlarged: Callable[[float], Tensor] | None = None
    maps: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    memo: dict = field(default_factory=dict)


def crop_maps(maps: Tensor, samples: Sequence[DetDataSample]) -> list[Tensor]:
    """Crop the part of each image, float (1, D, h, w), from maps (N, D, H/s, W/s) of a padded batch.

    >>> sample = DetDataSample(metainfo=dict(pad_shape=(4, 6), batch_input_shape=(8, 8)))
    >>> crop_maps(torch.zeros(1, 3, 4, 4), [sample])[0].shape
    torch.Size([1, 3, 2, 3])
    """
    cropped = []
    for index, sample in enumerate(samples):
        height, width = (
            round(side * own / batch) for side, own, batch in zip(maps.shape[2:], sample.pad_shape, sample.batch_input_shape, strict=False)
        )
        cropped.append(maps[index : index + 1, :, :height, :width])
    return cropped


def read_views(
    detector: TwoStageDetector, maps: Sequence[tuple[Tensor, ...]], samples: Sequence[DetDataSample], record: bool = False
) -> list[Reading]:
    """The reading of each view of an image; arguments as for :func:`~mmlabelpenet.calibration.reading.read`, one per view."""
    proposals = merge_proposals(detector, maps, samples)
    return [
        read(detector, x, sample, InstanceData(bboxes=move_boxes(proposals.bboxes, samples[0], sample)), record)
        for x, sample in zip(maps, samples, strict=True)
    ]


def detections(detector: TwoStageDetector, readings: Sequence[Reading], evidence: Tensor | None = None) -> InstanceData:
    """Detections, by descending score, in the frame of the first view: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,).

    ``evidence``, class scores (C,) of the whole image, multiplies scores before thresholding, so that a class that is unlikely in the image
    does not displace other detections.
    """
    candidates = merge_candidates(readings)
    if evidence is not None:
        candidates = InstanceData(bboxes=candidates.bboxes, scores=candidates.scores * evidence)
    return suppress(candidates, detector.roi_head.test_cfg)


def move_boxes(bboxes: Tensor, source: DetDataSample, target: DetDataSample) -> Tensor:
    """Convert boxes (..., 4) from the frame of one view to that of another.

    >>> first = DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), img_shape=(6, 10)))
    >>> second = DetDataSample(metainfo=dict(scale_factor=(2.0, 2.0), img_shape=(12, 20), flip=True, flip_direction='horizontal'))
    >>> move_boxes(torch.tensor([[1.0, 2, 4, 5]]), first, second).tolist()
    [[12.0, 4.0, 18.0, 10.0]]
    """
    if source is target:
        return bboxes
    ratio = bboxes.new_tensor(target.scale_factor) / bboxes.new_tensor(source.scale_factor)
    return upright_boxes(upright_boxes(bboxes, source.metainfo) * ratio.repeat(2), target.metainfo)


def move_maps(maps: Tensor, source: DetDataSample, target: DetDataSample) -> Tensor:
    """Convert maps (n, h, w) from the frame of one view to that of another.

    >>> first = DetDataSample(metainfo=dict(img_shape=(1, 2)))
    >>> second = DetDataSample(metainfo=dict(img_shape=(1, 2), flip=True))
    >>> move_maps(torch.tensor([[[1.0, 2]]]), first, second).tolist()
    [[[2.0, 1.0]]]
    """
    if source.get('flip', False) != target.get('flip', False):
        maps = maps.flip(-1)
    size = tuple(target.img_shape[:2])
    if len(maps) == 0 or tuple(maps.shape[1:]) == size:
        return maps.new_zeros(0, *size) if len(maps) == 0 else maps
    return F.interpolate(maps[None], size, mode='bilinear', antialias=True)[0]


def merge_proposals(detector: TwoStageDetector, maps: Sequence[tuple[Tensor, ...]], samples: Sequence[DetDataSample]) -> InstanceData:
    """Proposals in the frame of the first view: those of the RPN in every view, after a common NMS.

    A detector without RPN uses the proposals of the sample of the first view.
    """
    if not detector.with_rpn or len(samples) == 1:
        return find_proposals(detector, maps[0], samples[0])
    found, cfg = [find_proposals(detector, *pair) for pair in zip(maps, samples, strict=True)], detector.rpn_head.test_cfg
    bboxes = torch.cat([move_boxes(each.bboxes, sample, samples[0]) for each, sample in zip(found, samples, strict=True)])
    scores = torch.cat([each.scores for each in found])
    best, kept = batched_nms(bboxes, scores, torch.zeros_like(scores), cfg.nms)
    kept = kept[: cfg.max_per_img]
    return InstanceData(bboxes=bboxes[kept], scores=best[: len(kept), 4])


def merge_candidates(readings: Sequence[Reading]) -> InstanceData:
    """Average an image's candidates over its views, in the frame of the first: ``rois``, ``bboxes`` (R, C, 4), ``scores`` (R, C)."""
    first, moved = readings[0], []
    for each in readings:
        bboxes = move_boxes(each.candidates.bboxes, each.sample, first.sample)
        moved.append(InstanceData(rois=first.candidates.rois, bboxes=bboxes, scores=each.candidates.scores))
    return mean_candidates(moved)
