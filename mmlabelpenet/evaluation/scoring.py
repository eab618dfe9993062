"""Evaluate one image at a time, then combine the images.

The predictions of an image are compared with its ground truth immediately; only a *record*, a dict of small arrays, is kept, so memory is
bounded, ranks can exchange records, and only :func:`summarise` needs all of them.

Shapes: n predictions and g objects of one image, m masked objects, C classes, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.rle import decode_mask
from . import functional as measure

GROUPS = ('bbox', 'corloc', 'segm', 'abo', 'miou')

Record = dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """Predictions of one stage on one image: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,), ``masks`` n codes or None."""

    bboxes: NDArray
    scores: NDArray
    labels: NDArray
    masks: list[measure.RLE] | None = None


@dataclass(frozen=True)
class Truth:
    """Ground truth of one image: ``bboxes`` (g, 4), ``labels`` (g,), ``difficult`` (g,); ``mask_labels`` (m,) and ``masks`` (m codes), or
    None if the image has no instance masks; ``class_mask`` (h, w), or None.
    """

    bboxes: NDArray
    labels: NDArray
    difficult: NDArray
    mask_labels: NDArray | None = None
    masks: list[measure.RLE] | None = None
    class_mask: NDArray | None = None


@dataclass(frozen=True)
class Settings:
    """The metrics to compute.

    Attributes:
        num_classes: C.
        groups: some of 'bbox', 'corloc', 'segm', 'abo' and 'miou'.
        box_iou_thrs: thresholds of box AP; the first one is that of CorLoc too.
        mask_iou_thrs: thresholds of mask AP.
        semantic_score_thr: minimum score of an instance in the semantic map.
        legacy: boxes include their last pixel ("+1" widths); keys of box metrics then end in ``_legacy``.
    """

    num_classes: int
    groups: tuple[str, ...] = GROUPS
    box_iou_thrs: tuple[float, ...] = (0.5,)
    mask_iou_thrs: tuple[float, ...] = (0.25, 0.5, 0.7, 0.75)
    semantic_score_thr: float = 0.3
    legacy: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.groups) - set(GROUPS))
        if unknown:
            raise ValueError(f'The metric groups are {GROUPS}, got {unknown}.')
        for name in ('box_iou_thrs', 'mask_iou_thrs'):
            if not getattr(self, name):
                raise ValueError(f'{name} must have at least one IoU threshold, got none.')
        for thr in (*self.box_iou_thrs, *self.mask_iou_thrs):
            if not (isinstance(thr, int | float) and 0 < thr <= 1):
                raise ValueError(f'IoU thresholds must be in (0, 1], got {thr!r}.')

    def keys(self) -> list[str]:
        """All keys that :func:`summarise` may return, in the order of tables; each names the protocol of its value.

        >>> Settings(num_classes=1, groups=('corloc',), legacy=True).keys()[2:4]
        ['CorLoc_50_legacy', 'CorLoc_50_no_difficult_only_legacy']
        """
        keys = [f'bbox_mAP_{100 * thr:g}_{mode}{self.box_end}' for thr in self.box_iou_thrs for mode in ('11point', 'area')]
        keys += [self.corloc_key(end) for end in ('', '_no_difficult_only')]
        keys += [f'segm_mAP_{100 * thr:g}_{mode}' for mode in ('area', '11point', 'coco101') for thr in self.mask_iou_thrs]
        return [*keys, 'ABO_class', 'ABO_agnostic', 'mIoU']

    @property
    def box_end(self) -> str:
        """The suffix of the keys of box metrics."""
        return '_legacy' if self.legacy else ''

    def corloc_key(self, end: str) -> str:
        """Key of CorLoc in a convention, '' or '_no_difficult_only'."""
        return f'CorLoc_{100 * self.box_iou_thrs[0]:g}{end}{self.box_end}'


def score_image(prediction: Prediction, truth: Truth, settings: Settings) -> Record:
    """Compare the predictions of one image with its ground truth.

    Args:
        prediction: predictions of one stage.
        truth: the annotations.
        settings: the metrics.

    Returns:
        A dict of small arrays (and dicts of such), for :func:`summarise`. ``masks`` tells whether the stage has masks: True, False, or None
        if it has no instance.

    Raises:
        ValueError: a score is NaN, a label is not a class, or a mask has another size than the image.
    """
    _check(prediction, settings)
    has_masks = None if prediction.masks is None and len(prediction.labels) == 0 else prediction.masks is not None
    record: Record = {'masks': has_masks}
    if {'bbox', 'corloc'} & set(settings.groups):
        record.update(_score_boxes(prediction, truth, settings))
    if {'segm', 'abo'} & set(settings.groups) and truth.masks is not None and has_masks is not False:
        record['segm'] = _score_masks(prediction, truth, settings)
    if 'miou' in settings.groups and truth.class_mask is not None and has_masks is not False:
        predicted = class_map(prediction, truth.class_mask.shape, settings.semantic_score_thr)
        record['confusion'] = measure.confusion(predicted, truth.class_mask, settings.num_classes)
    return record


def _check(prediction: Prediction, settings: Settings) -> None:
    count = len(prediction.labels)
    lengths = {'bboxes': len(prediction.bboxes), 'scores': len(prediction.scores)}
    lengths |= {'masks': len(prediction.masks)} if prediction.masks is not None else {}
    for name, length in lengths.items():
        if length != count:
            raise ValueError(f'Predictions of an image need as many {name} as labels ({count}), got {length}.')
    if np.isnan(prediction.scores).any():
        raise ValueError(f'Scores must not be NaN, got NaN at prediction {int(np.isnan(prediction.scores).argmax())} of the image.')
    if count and not 0 <= prediction.labels.min() <= prediction.labels.max() < settings.num_classes:
        raise ValueError(
            f'Labels must be in 0..{settings.num_classes - 1}, got {prediction.labels.min()}..{prediction.labels.max()}. '
            'Does the metric have the classes that the model was trained with?'
        )


def _score_boxes(prediction: Prediction, truth: Truth, settings: Settings) -> Record:
    iou = measure.box_iou(prediction.bboxes, truth.bboxes, settings.legacy)
    best = measure.best_in_matrix(iou, prediction.labels, truth.labels)
    result: Record = {}
    if 'bbox' in settings.groups:
        matches = [measure.match_voc(best, prediction.scores, truth.difficult, thr) for thr in settings.box_iou_thrs]
        result['bbox'] = {
            'labels': prediction.labels,
            'scores': prediction.scores,
            'right': np.stack([match.right for match in matches]),
            'ignored': np.stack([match.ignored for match in matches]),
            'objects': np.bincount(truth.labels[~truth.difficult], minlength=settings.num_classes),
        }
    if 'corloc' in settings.groups:
        images, object_images = np.zeros(len(prediction.labels), dtype=np.int64), np.zeros(len(truth.labels), dtype=np.int64)
        for name, skip in (('corloc', False), ('corloc_no_difficult_only', True)):
            result[name] = np.stack(
                measure.corloc_counts(
                    images, prediction.labels, prediction.scores, best.iou, object_images, truth.labels, truth.difficult,
                    settings.num_classes, settings.box_iou_thrs[0], skip,
                )
            )  # fmt: skip
    return result


def _score_masks(prediction: Prediction, truth: Truth, settings: Settings) -> Record:
    iou = measure.mask_iou(prediction.masks or [], truth.masks or [])
    labels, object_labels = prediction.labels, truth.mask_labels
    best, easy = measure.best_in_matrix(iou, labels, object_labels), np.zeros(len(object_labels), dtype=bool)
    return {
        'labels': labels,
        'scores': prediction.scores,
        'right': np.stack([measure.match_voc(best, prediction.scores, easy, thr).right for thr in settings.mask_iou_thrs]),
        'right_coco': measure.match_coco(iou, labels, prediction.scores, object_labels, settings.mask_iou_thrs),
        'objects': np.bincount(object_labels, minlength=settings.num_classes),
        'object_labels': object_labels,
        'best_class': measure.best_per_object(iou, labels, object_labels),
        'best_agnostic': measure.best_per_object(iou),
    }


def class_map(prediction: Prediction, size: tuple[int, int], score_thr: float) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Class of each pixel, from the highest-scoring instance that covers it (:func:`~.semantic.semantic_map`).

    Args:
        prediction: with masks, or without any instance.
        size: (h, w).
        score_thr: minimum score of an instance; only these are decoded, one at a time.

    Returns:
        uint8 (h, w), uint16 if a label is above 253; 0 background, 1 + k class k.

    >>> class_map(Prediction(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), []), (1, 2), 0.3).tolist()
    [[0, 0]]
    """
    masks = prediction.masks or []
    return measure.paint(lambda index: decode_mask(masks[index]), prediction.scores[: len(masks)], prediction.labels, size, score_thr)


def summarise(records: Sequence[Record], settings: Settings) -> dict[str, NDArray | None]:
    """Combine the records of all images of one stage.

    Args:
        records: one of each image, in the order of the split (equal scores rank by it).
        settings: the same as for :func:`score_image`.

    Returns:
        key of the metric -> its value per class as fractions, float64 (C,), nan if undefined (mIoU: (C + 1,), background first); None if
        the stage cannot have it or it was not requested.

    Raises:
        ValueError: the stage has masks for only some images.
    """
    if len({record['masks'] for record in records} - {None}) > 1:
        raise ValueError('The stage has masks for some images and only boxes for others. It must predict masks for all images or for none.')
    values: dict[str, NDArray | None] = dict.fromkeys(settings.keys())
    if 'bbox' in settings.groups and records:
        boxes = [record['bbox'] for record in records]
        _add_precisions(values, boxes, 'bbox', ('11point', 'area'), 'right', settings.box_iou_thrs, settings.box_end)
    if 'corloc' in settings.groups and records:
        for end in ('', '_no_difficult_only'):
            correct, shown = sum(record[f'corloc{end}'] for record in records)
            values[settings.corloc_key(end)] = measure.shares(correct, shown)
    masked = [record['segm'] for record in records if 'segm' in record] if any(record['masks'] for record in records) else []
    if 'segm' in settings.groups and masked:
        _add_precisions(values, masked, 'segm', ('area', '11point'), 'right', settings.mask_iou_thrs)
        _add_precisions(values, masked, 'segm', ('coco101',), 'right_coco', settings.mask_iou_thrs)
    if 'abo' in settings.groups and masked:
        labels = np.concatenate([record['object_labels'] for record in masked])
        for kind in ('class', 'agnostic'):
            best = np.concatenate([record[f'best_{kind}'] for record in masked])
            values[f'ABO_{kind}'] = measure.mean_per_class(best, labels, settings.num_classes)
    confusions = [record['confusion'] for record in records if 'confusion' in record]
    if confusions and any(record['masks'] for record in records):
        values['mIoU'] = measure.class_ious(measure.add_confusions(confusions, settings.num_classes))
    return values


def _add_precisions(
    values: dict[str, NDArray | None], records: Sequence[Record], kind: str, modes: Sequence[str], right: str,
    iou_thrs: Sequence[float], end: str = '',
) -> None:  # fmt: skip
    labels, scores = (np.concatenate([record[key] for record in records]) for key in ('labels', 'scores'))
    hits = np.concatenate([record[right] for record in records], axis=1)
    ignored = np.concatenate([record['ignored'] for record in records], axis=1) if 'ignored' in records[0] else np.zeros_like(hits)
    found = measure.average_precisions(labels, scores, hits, ignored, sum(record['objects'] for record in records), modes)
    for mode in modes:
        for row, thr in enumerate(iou_thrs):
            values[f'{kind}_mAP_{100 * thr:g}_{mode}{end}'] = found[mode][row]
