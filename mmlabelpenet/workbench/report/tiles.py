"""Drawings ("tiles") of labels, detections and annotations of an image, and panels of several tiles.

Shapes: n instances, C classes, (h, w) image. Images: RGB uint8 (h, w, 3); drawings have the size of the original image times ``scale``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from mmlabelpenet.apis.results import worth_showing
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.formats.rle import draw
from mmlabelpenet.schema import counted
from mmlabelpenet.visualization.drawing import class_colours, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge

_STRIP = 22  # height of a title, in pixels


@dataclass(frozen=True)
class Tile:
    """One drawing: ``kind`` (input, proposals, scores, attention, crf, labels, prediction, truth), ``title``, ``image``, ``note``."""

    kind: str
    title: str
    image: NDArray[np.uint8]
    note: str = ''


@dataclass(frozen=True)
class Painter:
    """Draws tiles of one image, given the ``original``, the names of the C ``classes``, and the ``scale`` of the drawings."""

    original: NDArray[np.uint8]
    classes: Sequence[str]
    scale: float = 1.0

    @cached_property
    def colours(self) -> NDArray[np.uint8]:
        """One colour per class."""
        return class_colours(len(self.classes))

    def input(self, tags: Sequence[int]) -> Tile:
        """The image itself with its tags."""
        names = ', '.join(self.classes[k] for k in tags) or 'none'
        return Tile('input', 'input', enlarge(self.original, self.scale), f'tags: {names}')

    def proposals(self, sample: DetDataSample) -> Tile:
        """The proposals of a sample."""
        bboxes = sample.proposals.bboxes.cpu().numpy() / np.tile(sample.scale_factor, 2)
        return Tile('proposals', 'proposals', draw_proposals(self.original, bboxes, self.scale), f'{len(bboxes)}, at most 300 drawn')

    def heat(self, title: str, label: int, heat: NDArray, note: str) -> Tile:
        """A map (h', w') of a class."""
        return Tile('attention', f'{title}: {self.classes[label]}', draw_heat(self.original, heat, self.scale), note)

    def labels(self, stage: str, bboxes: NDArray, labels: NDArray, weights: Sequence[float], masks: NDArray[np.bool_]) -> Tile:
        """Pseudo instances that a stage hands over, with their weights."""
        captions = [f'{self.classes[label]} w {weight:.2f}' for label, weight in zip(labels, weights, strict=True)]
        drawn = draw_instances(self.original, bboxes, self.colours[labels], captions, masks, self.scale)
        return Tile('labels', f'labels of {stage}', drawn, counted(len(labels), 'pseudo instance'))

    def stored_labels(self, stage: str, instances: Sequence[Mapping]) -> Tile:
        """Like :meth:`labels`, for ``PseudoLabelStore.instances``."""
        masks = np.array([draw(item['mask'], (self.original.shape[0], self.original.shape[1])) for item in instances], bool).reshape(
            -1, *self.original.shape[:2]
        )
        bboxes = np.array([item['bbox'] for item in instances]).reshape(-1, 4)
        labels = np.array([item['bbox_label'] for item in instances], np.int64)
        return self.labels(stage, bboxes, labels, [item['weight'] for item in instances], masks)

    def prediction(self, title: str, found: InstanceData, min_score: float, ranks: bool) -> Tile:
        """Detections of a stage, with masks if available; only those selected by :func:`worth_showing` are drawn."""
        scores = found.scores.cpu().numpy()
        shown = worth_showing(scores, min_score, ranks)
        labels = found.labels.cpu().numpy()[shown]
        masks = np.asarray(found.masks)[shown].astype(bool) if 'masks' in found else None
        captions = [f'{self.classes[label]} {score:.2f}' for label, score in zip(labels, scores[shown], strict=True)]
        drawn = draw_instances(self.original, found.bboxes.cpu().numpy()[shown], self.colours[labels], captions, masks, self.scale)
        return Tile('prediction', title, drawn, f'{len(shown)} shown')

    def truth(self, devkit: Devkit, img_id: str) -> Tile:
        """Annotated boxes and instance masks."""
        objects, annotated = devkit.objects(img_id), devkit.instance_masks(img_id)
        canvas = enlarge(self.original, self.scale)
        if annotated is not None:
            canvas = draw_masks(self.original, annotated.masks, self.colours[annotated.labels], self.scale)
        captions = [self.classes[label] for label in objects.labels]
        drawn = draw_instances(canvas, objects.bboxes * self.scale, self.colours[objects.labels], captions)
        return Tile('truth', 'ground truth', drawn, counted(len(objects.labels), 'object'))


def join(tiles: Sequence[Tile], columns: int = 4, gap: int = 8, titles: bool = False) -> NDArray[np.uint8]:
    """All tiles in one image, row by row, on white.

    Args:
        columns: maximum number of tiles per row.
        titles: whether to write title and note above each tile.

    Raises:
        ValueError: no tile.

    >>> join([Tile('input', 'a', np.zeros((4, 6, 3), np.uint8))] * 3, columns=2, gap=1).shape
    (9, 13, 3)
    """
    if not tiles:
        raise ValueError('A panel needs at least one tile, got none.')
    parts = [titled(tile) if titles else tile.image for tile in tiles]
    h, w = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for index, part in enumerate(parts):
        top, left = index // columns * (h + gap), index % columns * (w + gap)
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


def stack(rows: Sequence[Sequence[Tile]], gap: int = 8) -> NDArray[np.uint8]:
    """Rows of titled tiles, one below the other, on white.

    >>> tile = Tile('input', 'a', np.zeros((4, 60, 3), np.uint8))
    >>> stack([[tile], [tile, tile]], gap=2).shape
    (54, 122, 3)
    """
    joined = [join(row, columns=len(row), gap=gap, titles=True) for row in rows if row]
    width = max(part.shape[1] for part in joined)
    padded = [np.pad(part, ((0, gap), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in joined]
    return np.concatenate(padded)[:-gap]


def titled(tile: Tile) -> NDArray[np.uint8]:
    """The tile below its title and note.

    >>> titled(Tile('input', 'a', np.zeros((4, 60, 3), np.uint8))).shape
    (26, 60, 3)
    """
    strip = np.full((_STRIP, tile.image.shape[1], 3), 255, np.uint8)
    text = f'{tile.title} ({tile.note})' if tile.note else tile.title
    size = min(0.48, 0.44 * (strip.shape[1] - 4) / max(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)[0][0], 1))
    cv2.putText(strip, text, (2, _STRIP - 7), cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([strip, tile.image])
