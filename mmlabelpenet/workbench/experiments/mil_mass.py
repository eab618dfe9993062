"""Diagnose multiple-instance learning, checkpoint by checkpoint: the proposal weight on annotated objects.

It needs annotated boxes, so it is used only for measurements.

Shapes: R proposals of one image, G objects of one class in it, (h, w) image. Boxes: float xyxy in original pixels, half-open.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.apis.config import build_dataset, config_devkit, config_hash, config_split, stage_names
from mmlabelpenet.apis.receipt import receipt
from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.evaluation.functional import box_iou, mean_per_class
from mmlabelpenet.files import file_hash
from mmlabelpenet.models import LabelPENet
from mmlabelpenet.models.feature_cache import weights_hash
from mmlabelpenet.progress import track
from mmlabelpenet.workbench.experiments.leading_stages import load_leading_stages
from mmlabelpenet.workbench.report.training_images import evenly_spread

KEYS = ('chosen_area', 'mass_on_object', 'uniform_on_object', 'entropy', 'chosen_iou', 'CorLoc_50')


class MassRow(TypedDict):
    """Measurements of a checkpoint, in percent; ``iteration`` is None if unknown."""

    iteration: int | None
    chosen_area: float
    mass_on_object: float
    uniform_on_object: float
    entropy: float
    chosen_iou: float
    CorLoc_50: float


class MassRun(TypedDict):
    """A run in a file of ``tools/analysis_tools/mil_mass.py --out``."""

    name: str
    checkpoints: list[MassRow]


def mil_mass(config: Config, checkpoints: Sequence[str | Path], max_images: int | None = None) -> dict[str, Any]:
    """Process the training list once, without augmentation, with the first stages of all checkpoints.

    Args:
        config: with ``corloc_dataloader``, whose images have annotated boxes; masks are used if available.
        max_images: maximum number of images, evenly spread over the list; None for all.

    Returns:
        ``checkpoints``, for each ``path``, ``iteration`` (None if unknown) and the percentages of :func:`summarise_mass`, by ascending
        iteration; and ``meta``.

    Raises:
        FileNotFoundError: no such checkpoint, data or proposals.
        ValueError: the checkpoint belongs to another model, or there is nothing to measure.
    """
    start = time.monotonic()
    if not (stages := stage_names(config)):
        raise ValueError(f'{config.filename} has no stages (model.stages), of which the first could be measured.')
    nets, metas = zip(*(load_leading_stages(config, path, stages[0]) for path in checkpoints), strict=True)
    dataset = build_dataset(config, 'corloc')
    devkit = config_devkit(config, 'corloc')
    backbones = [weights_hash(net.backbone) for net in nets]
    records: list[list[dict]] = [[] for _ in nets]
    labels: list[int] = []
    indices = evenly_spread(len(dataset), max_images)
    for index in track(indices, 'images'):
        data = nets[0].data_preprocessor(pseudo_collate([dataset[index]]), False)
        (sample,), features = data['data_samples'], {}
        truth = objects_of(devkit, sample)
        for net, backbone, found in zip(nets, backbones, records, strict=True):
            with inference(net):
                if backbone not in features:
                    features[backbone] = net.extract_feat(data['inputs'])
                found.extend(look(net, features[backbone], sample, truth).values())
        labels.extend(truth)
    rows = [
        dict(path=str(path), sha256=file_hash(path), iteration=about.get('iter'), **summarise_mass(found, labels, len(devkit.classes)))
        for path, about, found in zip(checkpoints, metas, records, strict=True)
    ]
    meta = dict(config=config.filename, config_sha256=config_hash(config), split=config_split(config, 'corloc'))
    meta |= dict(images=len(indices), tags=len(labels))
    return dict(checkpoints=sorted(rows, key=lambda row: row['iteration'] or 0), meta={**meta, **receipt(start)})


def objects_of(devkit: Devkit, sample: DetDataSample) -> dict[int, tuple[NDArray, NDArray[np.bool_]]]:
    """Boxes (G, 4) and pixels (h, w) of the objects of each tag; empty if the image has no proposals."""
    if len(sample.proposals) == 0:
        return {}
    objects, masks = devkit.objects(sample.img_id), devkit.instance_masks(sample.img_id)
    found = {}
    for label in sample.gt_image_labels.onehot.nonzero().flatten().tolist():
        bboxes = objects.bboxes[objects.labels == label]
        if len(bboxes):
            own = None if masks is None else masks.masks[masks.labels == label]
            pixels = painted(bboxes, sample.ori_shape[:2]) if own is None or len(own) == 0 else own.any(0)
            found[label] = (bboxes, pixels)
    return found


def look(net: LabelPENet, feature: Tensor, sample: DetDataSample, truth: dict[int, tuple[NDArray, NDArray]]) -> dict[int, dict[str, float]]:
    """Results of :func:`tag_mass` for each tag."""
    detector = net.stages[net.names[0]].detector
    (logits,) = detector.roi_head.logits(detector.extract_feat(feature), [sample.proposals.bboxes])
    scores, weights = detector.roi_head.ranking_scores(*logits), logits[1].double().softmax(0)
    bboxes = sample.proposals.bboxes / sample.proposals.bboxes.new_tensor(sample.scale_factor).repeat(2)
    arrays = [torch.as_tensor(value).cpu().numpy() for value in (bboxes, scores, weights)]
    return {
        label: tag_mass(arrays[0], arrays[1][:, label], arrays[2][:, label], objects, pixels) for label, (objects, pixels) in truth.items()
    }


def painted(bboxes: NDArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels inside any box, bool (h, w), used if there are no masks.

    >>> painted(np.array([[0.0, 0, 1, 2]]), (2, 2)).tolist()
    [[True, False], [True, False]]
    """
    pixels = np.zeros(size, bool)
    for left, top, right, bottom in np.asarray(bboxes).round().astype(int):
        pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return pixels


def pixel_shares(bboxes: NDArray, pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fraction of each box's pixels that belong to an object, float64 (R,); a box has at least one pixel.

    >>> pixel_shares(np.array([[0.0, 0, 2, 1], [1, 0, 2, 1]]), np.array([[True, False]])).tolist()
    [0.5, 0.0]
    """
    h, w = pixels.shape
    sums = np.zeros((h + 1, w + 1))
    sums[1:, 1:] = pixels.cumsum(0, dtype=np.float64).cumsum(1)
    left, top, right, bottom = np.asarray(bboxes, np.float64).reshape(-1, 4).round().astype(int).T
    left, top = left.clip(0, w - 1), top.clip(0, h - 1)
    right, bottom = np.maximum(right.clip(0, w), left + 1), np.maximum(bottom.clip(0, h), top + 1)
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return inside / ((right - left) * (bottom - top))


def tag_mass(
    proposals: NDArray, scores: NDArray, weights: NDArray, objects: NDArray, pixels: NDArray[np.bool_], iou_thr: float = 0.5
) -> dict[str, float]:
    """Statistics of one tag of one image.

    Args:
        proposals: float (R, 4), R > 0.
        scores: ranking scores for the class, float (R,).
        weights: the softmax of Eq. 1 for the class, float (R,), of sum 1.
        objects: annotated boxes of the class, float (G, 4), G > 0.
        pixels: pixels of these objects, bool (h, w).
        iou_thr: minimum IoU of a correct box.

    Returns:
        ``chosen_area``, the area of the highest-scoring box as a fraction of the image; ``mass_on_object``, the weight on object pixels if
        each proposal distributes its weight evenly over its box; ``uniform_on_object``, the same for uniform weights; ``entropy`` of the
        weights divided by log R; ``chosen_iou`` of the highest-scoring box with its best object; ``CorLoc_50``, 1 if that reaches the
        threshold.
    """
    best, shares = int(np.argmax(scores)), pixel_shares(proposals, pixels)
    left, top, right, bottom = proposals[best]
    iou = float(box_iou(proposals[best : best + 1].astype(np.float64), objects.astype(np.float64)).max())
    weights = np.asarray(weights, np.float64)
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum() / np.log(len(weights)) if len(weights) > 1 else 1.0
    return dict(
        chosen_area=float((right - left) * (bottom - top) / pixels.size),
        mass_on_object=float(weights @ shares),
        uniform_on_object=float(shares.mean()),
        entropy=float(entropy),
        chosen_iou=iou,
        CorLoc_50=float(iou >= iou_thr),
    )


def summarise_mass(records: Sequence[Mapping[str, float]], labels: Sequence[int], num_classes: int) -> dict[str, float]:
    """Summary over all tags of all images: the median of areas, CorLoc as the mean over classes, the mean of the rest; in percent.

    Args:
        records: results of :func:`tag_mass`.
        labels: the class of each.

    Raises:
        ValueError: there is no record.

    >>> summarise_mass([dict.fromkeys(KEYS, 0.5), dict.fromkeys(KEYS, 1.0)], [0, 1], 2)['CorLoc_50']
    75.0
    """
    if not records:
        raise ValueError('No image of the list has a tag, a proposal and an object of the class, so there is nothing to measure.')
    values = {key: np.array([record[key] for record in records]) for key in KEYS}
    found = {key: float(100 * value.mean()) for key, value in values.items()}
    found['chosen_area'] = float(100 * np.median(values['chosen_area']))
    found['CorLoc_50'] = float(100 * np.nanmean(mean_per_class(values['CorLoc_50'], np.asarray(labels), num_classes)))
    return found
