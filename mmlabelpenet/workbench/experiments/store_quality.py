"""Quality of the labels in a label store, compared with the annotations of its images.

Training never reads these annotations; this is only for evaluation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.evaluation.functional import best_in_matrix, best_overlaps, encode_masks, mask_iou, pseudo_label_quality
from mmlabelpenet.evaluation.table import make_row
from mmlabelpenet.progress import track

_SCALARS = ('images', 'labels', 'weights', 'mask_iou', 'object_images', 'object_labels', 'difficult')
_ORDER = ('precision', 'recall', 'box', 'mask')


def store_quality(store: PseudoLabelStore, devkit: Devkit, iou_thr: float = 0.5) -> tuple[dict[str, Any], dict[str, int]]:
    """Precision, recall, mean box and mask IoU of a store, weighted by the loss weights and unweighted.

    Boxes are matched by :func:`~.matching.match_voc` with the weights as scores. The mask IoU of an instance is its best IoU with a mask of
    its class; instances without a mask and images without instance masks are excluded.

    Args:
        devkit: with classes in the store's order; annotations of every image of the store are read.
        iou_thr: minimum box IoU of a correct instance.

    Returns:
        A row of a table in percent (:func:`~.table.make_row`), whose keys name the threshold, and counts: ``images``, ``instances``,
        ``objects`` (without difficult ones), ``images_with_instance_masks``.

    Raises:
        ValueError: the store has other classes.
        FileNotFoundError: an image has no annotations.
    """
    categories = store.classes
    if categories != devkit.classes:
        raise ValueError(f'The store has the classes {", ".join(categories)}, but the devkit is opened with {", ".join(devkit.classes)}.')
    images = [
        _compare(store.instances(image_id), devkit, image_id, number) for number, image_id in enumerate(track(store.image_ids, 'images'))
    ]
    data: dict[str, NDArray] = {key: np.concatenate([np.zeros(0), *(image[key] for image in images)]) for key in _SCALARS}
    boxes = {key: np.concatenate([np.zeros((0, 4)), *(image[key] for image in images)]) for key in ('bboxes', 'object_bboxes')}
    labels, object_labels = data['labels'].astype(np.int64), data['object_labels'].astype(np.int64)
    best = best_overlaps(
        data['images'], labels, boxes['bboxes'], data['object_images'], object_labels, boxes['object_bboxes'], len(devkit.classes)
    )
    difficult = data['difficult'].astype(bool)
    masked = sum(image['masked'] for image in images)
    found = pseudo_label_quality(
        labels, data['weights'], best, object_labels, difficult, len(devkit.classes), data['mask_iou'] if masked else None, iou_thr
    )
    end = f'_{100 * iou_thr:g}'
    named = {key + (end if key.startswith(('precision', 'recall')) else ''): value for key, value in found.items()}
    counts = dict(images=len(images), instances=len(labels), objects=int((~difficult).sum()), images_with_instance_masks=masked)
    return make_row(dict(sorted(named.items(), key=lambda item: _ORDER.index(item[0].split('_')[0]))), devkit.classes), counts


def _compare(instances: list[dict], devkit: Devkit, image_id: str, number: int) -> dict[str, Any]:
    """Instances and objects of one image as arrays; masks are compared at once and not kept."""
    objects, truth = devkit.objects(image_id), devkit.instance_masks(image_id)
    labels = np.array([instance['bbox_label'] for instance in instances], np.int64)
    overlap = np.full(len(labels), np.nan)
    if truth is not None and len(labels):
        codes = [instance['mask'] for instance in instances]
        iou = mask_iou(codes, encode_masks(truth.masks))
        drawn = coco_mask.area(codes) > 0  # an empty mask means 'box only'
        overlap[drawn] = np.maximum(best_in_matrix(iou, labels, truth.labels).iou, 0.0)[drawn]
    return dict(
        images=np.full(len(labels), number),
        labels=labels,
        bboxes=np.array([instance['bbox'] for instance in instances], np.float64).reshape(-1, 4),
        weights=np.array([instance['weight'] for instance in instances], np.float64),
        mask_iou=overlap,
        object_images=np.full(len(objects.labels), number),
        object_labels=objects.labels,
        object_bboxes=objects.bboxes,
        difficult=objects.difficult,
        masked=truth is not None,
    )
