"""What every part of the network believes about one image, as a row of drawings.

Shapes: n instances, C classes, (h, w) image. Images: RGB uint8 (h, w, 3) of the original size times ``scale``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mmlabelpenet.apis.results import worth_showing
from mmlabelpenet.calibration.generators import Explanation
from mmlabelpenet.datasets.devkit import Devkit
from mmlabelpenet.datasets.images import read_image
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.visualization.drawing import class_colours, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge

_STRIP = 22  # height of a title, in pixels


@dataclass(frozen=True)
class Tile:
    """One drawing of a panel: ``kind`` (input, proposals, attention, labels, prediction, truth), ``title``, ``image``, ``note``."""

    kind: str
    title: str
    image: NDArray[np.uint8]
    note: str = ''


@torch.no_grad()
def panel(
    model: LabelPENet,
    data: Mapping,
    classes: Sequence[str],
    stores: Mapping[str, PseudoLabelStore] | None = None,
    devkit: Devkit | None = None,
    kinds: Sequence[str] = ('input', 'attention', 'labels', 'prediction', 'truth'),
    min_score: float = 0.3,
    scale: float = 1.0,
    stages: Sequence[str] | None = None,
) -> list[Tile]:
    """Drawings of one image, in the order in which labels travel.

    Args:
        model: in evaluation mode.
        data: one item of a data set at test scale: ``inputs``, ``data_samples``.
        stores: pseudo labels by the stage that made them; images they do not know are passed over.
        devkit: ground truth, shown of images that have an annotation file.
        kinds: which images; also ``'proposals'``.
        stages: whose predictions are shown; None all.

    Returns:
        tiles.
    """
    batch = model.data_preprocessor(pseudo_collate([data]), False)
    sample = batch['data_samples'][0]
    original = read_image(sample.img_path)[..., ::-1]
    (sample,) = model.predict(batch['inputs'], [sample], stages=_needed(model, kinds, stages), explain='attention' in kinds)
    colours = class_colours(len(classes))
    tiles = []
    if 'input' in kinds:
        tags = [classes[k] for k in sample.gt_image_labels.onehot.nonzero().flatten().tolist()]
        tiles.append(Tile('input', 'input', enlarge(original, scale), f'tags: {", ".join(tags) or "none"}'))
    if 'proposals' in kinds:
        bboxes = sample.proposals.bboxes.cpu().numpy() / np.tile(sample.scale_factor, 2)
        tiles.append(Tile('proposals', 'proposals', draw_proposals(original, bboxes, scale), f'{len(bboxes)}, at most 300 drawn'))
    if 'attention' in kinds and isinstance(told := sample.explanations.get(model.names[0]), Explanation):
        for label, heat in tag_attention(told):
            tiles.append(Tile('attention', f'attention: {classes[label]}', draw_heat(original, heat, scale), f'{model.names[0]} stage'))
    if 'labels' in kinds:
        tiles += label_tiles(original, sample.img_id, classes, colours, stores or {}, scale)
    if 'prediction' in kinds:
        for name in model.names if stages is None else stages:
            found, ranks = sample.stage_predictions[name], model.stages[name].learns_from_tags
            tiles.append(prediction_tile(name, original, found, classes, colours, min_score, scale, ranks))
    if 'truth' in kinds and devkit is not None and devkit.is_annotated(sample.img_id):
        tiles.append(truth_tile(original, devkit, sample.img_id, colours, scale))
    return tiles


def _needed(model: LabelPENet, kinds: Sequence[str], stages: Sequence[str] | None) -> list[str]:
    """Stages that the tiles need: those whose predictions are shown, and the first for its attention."""
    shown = (model.names if stages is None else stages) if 'prediction' in kinds else ()
    return [name for name in model.names if name in shown or name == model.names[0]]


def tag_attention(explanation: Explanation) -> list[tuple[int, NDArray[np.float32]]]:
    """A stage's attention (Fig. 2) for each tag: label and map, float32 (h, w) of the network input; maps of several objects added up."""
    labels = explanation.labels
    return [(label, explanation.maps[labels == label].sum(0)) for label in sorted(set(labels.tolist()))]


def label_tiles(
    image: NDArray[np.uint8], img_id: str, classes: Sequence[str], colours: NDArray, stores: Mapping[str, PseudoLabelStore], scale: float
) -> list[Tile]:
    """One drawing for each hand-over: pseudo instances with their weights."""
    tiles = []
    for name, store in stores.items():
        try:
            instances = store.instances(img_id)
        except KeyError:
            continue
        labels = [instance['bbox_label'] for instance in instances]
        masks = np.array([coco_mask.decode(instance['mask']) for instance in instances], bool).reshape(len(instances), *image.shape[:2])
        drawn = draw_instances(
            image,
            np.array([instance['bbox'] for instance in instances]).reshape(-1, 4),
            colours[labels],
            [f'{classes[label]} w {instance["weight"]:.2f}' for label, instance in zip(labels, instances, strict=True)],
            masks,
            scale,
        )
        tiles.append(Tile('labels', f'labels of {name}', drawn, counted(len(instances), 'pseudo instance')))
    return tiles


def prediction_tile(
    name: str,
    image: NDArray[np.uint8],
    found: InstanceData,
    classes: Sequence[str],
    colours: NDArray,
    min_score: float,
    scale: float,
    ranks: bool = False,
) -> Tile:
    """A stage's detections, with masks where it has them; those of :func:`worth_showing` are drawn."""
    scores = found.scores.cpu().numpy()
    shown = worth_showing(scores, min_score, ranks)
    labels = found.labels.cpu().numpy()[shown]
    masks = np.asarray(found.masks)[shown].astype(bool) if 'masks' in found else None
    captions = [f'{classes[label]} {score:.2f}' for label, score in zip(labels, scores[shown], strict=True)]
    drawn = draw_instances(image, found.bboxes.cpu().numpy()[shown], colours[labels], captions, masks, scale)
    return Tile('prediction', name, drawn, f'{len(shown)} shown')


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, 'object'), counted(0, 'object')
    ('1 object', '0 objects')
    """
    return f'{number} {noun}{"" if number == 1 else "s"}'


def truth_tile(image: NDArray[np.uint8], devkit: Devkit, img_id: str, colours: NDArray, scale: float) -> Tile:
    """Annotated boxes and instance masks."""
    objects, annotated = devkit.objects(img_id), devkit.instance_masks(img_id)
    captions = [devkit.classes[label] for label in objects.labels]
    canvas = enlarge(image, scale)
    if annotated is not None:
        canvas = draw_masks(image, annotated.masks, colours[annotated.labels], scale)
    drawn = draw_instances(canvas, objects.bboxes * scale, colours[objects.labels], captions)
    return Tile('truth', 'ground truth', drawn, counted(len(objects.labels), 'object'))


def join(tiles: Sequence[Tile], columns: int = 4, gap: int = 8, titles: bool = False) -> NDArray[np.uint8]:
    """All images of a panel in one, row by row, on white.

    Args:
        columns: images in a row at most.
        titles: write title and note above each image.

    Raises:
        ValueError: no tile.

    >>> join([Tile('input', 'a', np.zeros((4, 6, 3), np.uint8))] * 3, columns=2, gap=1).shape
    (9, 13, 3)
    """
    if not tiles:
        raise ValueError('A panel needs at least one tile, got none.')
    parts = [titled(tile) if titles else tile.image for tile in tiles]
    h, w = (max(drawn.shape[axis] for drawn in parts) for axis in (0, 1))
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for index, drawn in enumerate(parts):
        top, left = index // columns * (h + gap), index % columns * (w + gap)
        canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return canvas


def stack(rows: Sequence[Sequence[Tile]], gap: int = 8) -> NDArray[np.uint8]:
    """Rows of titled images below each other, on white.

    >>> tile = Tile('input', 'a', np.zeros((4, 60, 3), np.uint8))
    >>> stack([[tile], [tile, tile]], gap=2).shape
    (54, 122, 3)
    """
    joined = [join(row, columns=len(row), gap=gap, titles=True) for row in rows if row]
    width = max(drawn.shape[1] for drawn in joined)
    padded = [np.pad(drawn, ((0, gap), (0, width - drawn.shape[1]), (0, 0)), constant_values=255) for drawn in joined]
    return np.concatenate(padded)[:-gap]


def titled(tile: Tile) -> NDArray[np.uint8]:
    """The image under its title and note.

    >>> titled(Tile('input', 'a', np.zeros((4, 60, 3), np.uint8))).shape
    (26, 60, 3)
    """
    strip = np.full((_STRIP, tile.image.shape[1], 3), 255, np.uint8)
    text = f'{tile.title} ({tile.note})' if tile.note else tile.title
    size = min(0.48, 0.44 * (strip.shape[1] - 4) / max(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)[0][0], 1))
    cv2.putText(strip, text, (2, _STRIP - 7), cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([strip, tile.image])
