"""Compare evaluation: box AP with mmdet's ``eval_map``, mask AP at four thresholds and ABO with pycocotools' ``COCOeval`` at one.

Both sides get the same random data in their own format; their results are compared before anything is timed.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from comparison import Comparison
from numpy.typing import NDArray

from mmlabelpenet.evaluation.functional import RLE, Detections, Objects, box_average_precisions, encode_masks
from mmlabelpenet.evaluation.scoring import Prediction, Settings, Truth, score_image, summarise

CLASSES = 20
BOX_IMAGES, DETECTIONS = 4952, 100
MASK_IMAGES, MASKS, SIZE = 1449, 50, (375, 500)


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """On the CPU, whatever the device."""
    yield box_comparison()
    yield mask_comparison()


def box_comparison(images: int = BOX_IMAGES, runs: int = 3) -> Comparison:
    """AP at IoU 0.5 of 100 detections in each of VOC 2007's test images.

    Raises:
        RuntimeError: the two sides differ.
    """
    from mmdet.evaluation.functional import eval_map

    import mmlabelpenet.registry  # noqa: F401  before mmdet: it selects the kernels of mmcv.ops

    found, wanted = random_boxes(images)
    lists = [found_by_class(found, slice(k * DETECTIONS, (k + 1) * DETECTIONS)) for k in range(images)]
    annotations = [annotation(wanted, wanted.images == k) for k in range(images)]

    def theirs() -> NDArray:
        _, rows = eval_map(lists, annotations, iou_thr=0.5, eval_mode='area', logger='silent', nproc=1)
        return np.array([row['ap'] for row in rows])

    def ours() -> NDArray:
        return box_average_precisions(found, wanted, CLASSES)['area'][0]

    compare('eval_map', theirs(), np.nan_to_num(ours()), 1e-5)  # mmdet computes in float32, and returns 0 for classes without objects
    shapes = f'{images} images x {DETECTIONS} detections, {CLASSES} classes'
    variants = {'eval_map of mmdet, one process': theirs, 'box_average_precisions': ours}
    return Comparison('box AP', variants, reach=5, at_least=True, shapes=shapes, runs=runs)


def mask_comparison(images: int = MASK_IMAGES, runs: int = 5) -> Comparison:
    """mAP^r at four thresholds and ABO by our three styles, against COCO's AP at one threshold; masks are RLE on both sides.

    Raises:
        RuntimeError: the two sides differ at IoU 0.5.
    """
    pairs = random_masks(images)
    settings = Settings(CLASSES, groups=('segm', 'abo'))
    evaluation = coco_evaluation(pairs)

    def ours() -> dict[str, NDArray | None]:
        return summarise([score_image(prediction, truth, settings) for prediction, truth in pairs], settings)

    def theirs() -> NDArray:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval['precision'][0, :, :, 0, 0]
        return np.where((precision > -1).all(0), precision.mean(0), np.nan)

    compare('COCOeval', theirs(), ours()['segm_mAP_50_coco101'], 1e-9)
    shapes = f'{images} images x {MASKS} masks of {SIZE[0]} x {SIZE[1]} pixels, {CLASSES} classes'
    variants = {'COCOeval, one threshold': theirs, 'mAP^r at four thresholds, three styles, and ABO': ours}
    return Comparison('mask AP', variants, reach=1, at_least=True, shapes=shapes, runs=runs)


def compare(name: str, theirs: NDArray, ours: NDArray | None, tolerance: float) -> None:
    """Raise an error if the results differ."""
    if ours is None or not np.allclose(theirs, ours, atol=tolerance, rtol=0, equal_nan=True):
        raise RuntimeError(f'Our AP differs from that of {name}: {ours} and {theirs}.')


def random_boxes(images: int, seed: int = 0) -> tuple[Detections, Objects]:
    """One to five objects per image, a tenth of them difficult; three of ten detections are near an object of their class.

    Scores are unique, because mmdet ranks ties in an undefined order.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, images)
    places = np.repeat(np.arange(images), counts)
    wanted = Objects(places, rng.integers(0, CLASSES, len(places)), scattered(rng, len(places)), rng.random(len(places)) < 0.1)
    where = np.repeat(np.arange(images), DETECTIONS)
    labels, bboxes = rng.integers(0, CLASSES, len(where)), scattered(rng, len(where))
    near = np.flatnonzero(rng.random(len(where)) < 0.3)
    target = (np.cumsum(counts) - counts)[where[near]] + (rng.random(len(near)) * counts[where[near]]).astype(int)
    labels[near], bboxes[near] = wanted.labels[target], wanted.bboxes[target] + rng.normal(0, 8, (len(near), 4)).astype(np.float32)
    scores = (rng.permutation(len(where)) / len(where)).astype(np.float32)
    return Detections(where, labels, scores, bboxes), wanted


def scattered(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Boxes anywhere in an image of 500 x 500 pixels."""
    starts = rng.random((count, 2)) * 300
    return np.concatenate([starts, starts + 20 + rng.random((count, 2)) * 150], axis=1).astype(np.float32)


def found_by_class(found: Detections, part: slice) -> list[NDArray]:
    """Detections of an image in the format of ``eval_map``: an array (n, 5) for each class."""
    rows, labels = np.column_stack([found.bboxes[part], found.scores[part]]), found.labels[part]
    return [rows[labels == label] for label in range(CLASSES)]


def annotation(wanted: Objects, here: NDArray) -> dict[str, NDArray]:
    """Objects of an image in the format of ``eval_map``."""
    easy, hard = here & ~wanted.difficult, here & wanted.difficult
    return dict(
        bboxes=wanted.bboxes[easy], labels=wanted.labels[easy], bboxes_ignore=wanted.bboxes[hard], labels_ignore=wanted.labels[hard]
    )


def random_masks(images: int, seed: int = 0) -> list[tuple[Prediction, Truth]]:
    """One to four stars per image; half of the 50 masks of an image are a jittered star with its class."""
    rng = np.random.default_rng(seed)
    kinds = [star_codes(rng) for _ in range(40)]
    pairs = []
    for _ in range(images):
        chosen, labels = rng.choice(len(kinds), int(rng.integers(1, 5)), replace=False), rng.integers(0, CLASSES, 4)
        near = rng.random(MASKS) < 0.5
        which = rng.integers(0, len(chosen), MASKS)
        codes = [kinds[chosen[k] if close else rng.integers(len(kinds))][rng.integers(1, 20)] for k, close in zip(which, near)]
        classes = np.where(near, labels[which], rng.integers(0, CLASSES, MASKS))
        truth = [kinds[kind][0] for kind in chosen]
        none = np.zeros((len(chosen), 4))
        pairs.append((
            Prediction(np.zeros((MASKS, 4)), rng.random(MASKS), classes, codes),
            Truth(none, labels[: len(chosen)], np.zeros(len(chosen), bool), labels[: len(chosen)], truth),
        ))  # fmt: skip
    return pairs


def star_codes(rng: np.random.Generator) -> list[RLE]:
    """A star and nineteen jittered ones, as RLE."""
    height, width = SIZE
    y, x = np.mgrid[:height, :width]
    star = np.array([rng.uniform(60, 440), rng.uniform(60, 300), rng.uniform(25, 120), rng.uniform(25, 90), rng.uniform(0, 6)])
    masks = []
    for number in range(20):
        jitter = 0 if number == 0 else rng.normal(0, 8, 5) * [1, 1, 1, 1, 0.05]
        centre_x, centre_y, first, second, phase = star + jitter
        ends = [(max(int(at - 1.2 * abs(r)), 0), max(int(at + 1.2 * abs(r)) + 2, 0)) for at, r in ((centre_y, second), (centre_x, first))]
        window = tuple(slice(*end) for end in ends)  # the star lies in it
        down, right = y[window] - centre_y, x[window] - centre_x
        masks.append(np.zeros(SIZE, bool))
        masks[-1][window] = (right / first) ** 2 + (down / second) ** 2 < 1 + 0.25 * np.sin(5 * np.arctan2(down, right) + phase)
    return encode_masks(np.array(masks))


def coco_evaluation(pairs: list[tuple[Prediction, Truth]]) -> Any:
    """COCOeval for the same masks, at IoU 0.5, one range of areas and all masks of an image."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for number, (prediction, truth) in enumerate(pairs, 1):
        for label, code in zip(truth.mask_labels.tolist(), truth.masks):
            entry = dict(id=len(annotations) + 1, image_id=number, category_id=label + 1, iscrowd=0, area=50, bbox=[0, 0, 1, 1])
            annotations.append(dict(entry, segmentation=code))
        for label, score, code in zip(prediction.labels.tolist(), prediction.scores.tolist(), prediction.masks):
            results.append(dict(image_id=number, category_id=label + 1, score=score, segmentation=code))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dict(
            images=[dict(id=number, height=SIZE[0], width=SIZE[1]) for number in range(1, len(pairs) + 1)],
            categories=[dict(id=number, name=str(number)) for number in range(1, CLASSES + 1)],
            annotations=annotations,
        )
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), 'segm')
    evaluation.params.iouThrs, evaluation.params.maxDets = np.array([0.5]), [MASKS]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
    return evaluation
