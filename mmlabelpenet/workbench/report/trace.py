"""One image from its tags to the result, as rows of images: what each stage knows, what it hands on, and how that comes about.

Shapes: R proposals, C classes, K objects, (h, w) image. Images: RGB uint8 (h, w, 3) of the original size times ``scale``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.calibration.generators import Explanation, MaskAggregation
from mmlabelpenet.datasets.devkit import Devkit
from mmlabelpenet.datasets.images import read_rgb
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.structures import to_original
from mmlabelpenet.visualization.drawing import class_colours, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge
from mmlabelpenet.workbench.report.panels import Tile, counted, prediction_tile, truth_tile

_BEST = 8  # proposals drawn by their score


@dataclass(frozen=True)
class _Scene:
    """What all rows need: ``original`` RGB, ``sample``, ``image`` of the network input, names and colours."""

    original: NDArray[np.uint8]
    sample: DetDataSample
    image: NDArray[np.uint8]
    classes: Sequence[str]
    colours: NDArray[np.uint8]
    scale: float

    @property
    def tags(self) -> list[int]:
        return self.sample.gt_image_labels.onehot.nonzero().flatten().tolist()

    def boxes(self, bboxes: Tensor) -> NDArray:
        """Boxes in pixels of the original image."""
        return bboxes.detach().cpu().numpy() / np.tile(self.sample.scale_factor, 2)


@torch.no_grad()
def trace(
    model: LabelPENet,
    data: Mapping,
    classes: Sequence[str],
    devkit: Devkit | None = None,
    min_score: float = 0.3,
    scale: float = 1.0,
    blank: bool = False,
) -> dict[str, list[Tile]]:
    """Rows of images by what they show.

    Args:
        model: in evaluation mode.
        data: one packed sample at test scale, with tags and proposals; pseudo labels are made for the tags.
        devkit: with annotations of the image; None for none.
        blank: draw on a blank page, where the photograph itself may not be shown.

    Returns:
        ``'input'`` (image with tags, proposals, ground truth), then one row for each stage: scores and attention of each tag, what the
        CRF makes of them, the pseudo instances with weights that are handed on, and the stage's prediction.
    """
    batch = model.data_preprocessor(pseudo_collate([data]), False)
    (image,) = model.data_preprocessor.images(batch['inputs'], batch['data_samples'])
    (sample,) = model.predict(batch['inputs'], batch['data_samples'], stages=model.names, explain=True)
    colours = class_colours(len(classes))
    original = read_rgb(sample.img_path)
    if blank:
        original = np.full_like(original, 225)
    scene = _Scene(original, sample, image, classes, colours, scale)
    rows = {'input': _input_tiles(scene, devkit)}
    for name in model.names:
        found, ranks = sample.stage_predictions[name], model.stages[name].learns_from_tags
        prediction = prediction_tile(name, scene.original, found, classes, colours, min_score, scale, ranks)
        rows[name] = [*_hand_over_tiles(model, name, scene), Tile('prediction', f'prediction of {name}', prediction.image, prediction.note)]
    return rows


def _input_tiles(scene: _Scene, devkit: Devkit | None) -> list[Tile]:
    names = ', '.join(scene.classes[k] for k in scene.tags) or 'none'
    tiles = [Tile('input', 'input', enlarge(scene.original, scene.scale), f'tags: {names}')]
    bboxes = scene.boxes(scene.sample.proposals.bboxes)
    tiles.append(Tile('proposals', 'proposals', draw_proposals(scene.original, bboxes, scene.scale), f'{len(bboxes)}, at most 300 drawn'))
    if devkit is not None and devkit.is_annotated(scene.sample.img_id):
        tiles.append(truth_tile(scene.original, devkit, scene.sample.img_id, scene.colours, scene.scale))
    return tiles


def _hand_over_tiles(model: LabelPENet, name: str, scene: _Scene) -> list[Tile]:
    """Scores, attention, CRF and labels of a stage that hands labels on."""
    stage, told = model.stages[name], scene.sample.explanations.get(name)
    if not isinstance(told, Explanation):
        return []
    scored = 'MIL scores' if stage.learns_from_tags else 'scores'
    title = 'summed masks' if isinstance(stage.labels, MaskAggregation) else 'attention'
    tiles = [_score_tile(scored, told.reading.candidates, label, scene) for label in scene.tags]
    tiles += [_attention_tile(title, told, label, scene) for label in sorted(set(told.labels.tolist()))]
    tiles.append(_crf_tile(stage.labels.segment(scene.image, told.maps), told, stage.labels.crf is not None, scene))
    pseudo = stage.labels.label(scene.image, told)
    return [*tiles, _label_tile(to_original(pseudo, scene.sample.metainfo), name, scene)]


def _score_tile(title: str, candidates: InstanceData, label: int, scene: _Scene) -> Tile:
    """The best proposals for a tag, the best on top and with its score; later ones fade into grey."""
    scores, order = candidates.scores[:, label].sort(descending=True, stable=True)
    count = min(_BEST, len(scores))
    shares = (scores[:count] / scores[:1].clamp(min=1e-12)).clamp(0, 1).cpu().numpy()[:, None]
    colours = (shares * scene.colours[label] + (1 - shares) * 110).astype(np.uint8)
    captions = [f'{scores[0]:.3f}', *[''] * (count - 1)] if count else []
    drawn = draw_instances(scene.original, scene.boxes(candidates.bboxes[order[:count], label]), colours, captions, scale=scene.scale)
    return Tile('scores', f'{title}: {scene.classes[label]}', drawn, f'the best {count} of {len(scores)}')


def _attention_tile(title: str, told: Explanation, label: int, scene: _Scene) -> Tile:
    chosen = told.labels == label
    note = f'{counted(int(chosen.sum()), "object")}, {counted(int(told.members[chosen].sum()), "proposal")}'
    drawn = draw_heat(scene.original, told.maps[chosen].sum(0), scene.scale)
    return Tile('attention', f'{title}: {scene.classes[label]}', drawn, note)


def _crf_tile(masks: NDArray[np.bool_], told: Explanation, with_crf: bool, scene: _Scene) -> Tile:
    size = scene.original.shape[:2]
    whole = np.array([enlarge_mask(mask, size) for mask in masks], bool).reshape(-1, *size)
    share = f'{100 * masks.any(0).mean():.0f} % of the image' if len(masks) else 'no object'
    drawn = draw_masks(scene.original, whole, scene.colours[told.labels], scene.scale)
    return Tile('crf', 'after the CRF' if with_crf else 'without CRF', drawn, share)


def _label_tile(pseudo: InstanceData, name: str, scene: _Scene) -> Tile:
    labels = pseudo.labels.cpu().numpy()
    captions = [f'{scene.classes[label]} w {weight:.2f}' for label, weight in zip(labels, pseudo.weights.tolist(), strict=True)]
    masks = pseudo.masks.masks.astype(bool)
    drawn = draw_instances(scene.original, pseudo.bboxes.cpu().numpy(), scene.colours[labels], captions, masks, scene.scale)
    return Tile('labels', f'labels of {name}', drawn, counted(len(labels), 'pseudo instance'))


def enlarge_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Nearest-neighbour mask of another size.

    >>> enlarge_mask(np.eye(2, dtype=bool), (4, 4)).sum()
    np.int64(8)
    """
    rows = (np.arange(size[0]) * mask.shape[0] // size[0]).clip(max=mask.shape[0] - 1)
    columns = (np.arange(size[1]) * mask.shape[1] // size[1]).clip(max=mask.shape[1] - 1)
    return mask[rows][:, columns]
