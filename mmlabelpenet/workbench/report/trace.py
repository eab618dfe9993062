"""One image from its tags to the result, as rows of pictures: what each stage knows, what it hands on, and how that comes about.

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

from mmlabelpenet.calibration.attention_generator import AttentionGenerator
from mmlabelpenet.calibration.belief import inference
from mmlabelpenet.calibration.generators import MaskAggregation
from mmlabelpenet.calibration.objects import FoundObject, find_objects
from mmlabelpenet.datasets.devkit import Devkit
from mmlabelpenet.datasets.pictures import read_picture
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.structures import to_original
from mmlabelpenet.visualization.drawing import class_colours, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge
from mmlabelpenet.workbench.report.panels import Tile, counted, prediction_tile, truth_tile

_BEST = 8  # proposals drawn by their score


@dataclass(frozen=True)
class _Scene:
    """What all rows need: ``original`` RGB, ``sample``, shared ``feature``, ``image`` of the network input, names and colours."""

    original: NDArray[np.uint8]
    sample: DetDataSample
    feature: Tensor
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
    """Rows of pictures by what they show.

    Args:
        model: in evaluation mode.
        data: one packed sample at test scale, with tags and proposals; pseudo labels are made for the tags.
        classes: C names.
        devkit: with annotations of the image; None for none.
        min_score: detections below are not drawn.
        scale: of the pictures.
        blank: draw on a blank page, where the photograph itself may not be shown.

    Returns:
        ``'input'`` (picture with tags, proposals, ground truth), then one row for each stage: scores and attention of each tag, what the
        CRF makes of them, the pseudo instances with weights that are handed on, and the stage's prediction.
    """
    batch = model.data_preprocessor(pseudo_collate([data]), False)
    sample = batch['data_samples'][0]
    images = model.data_preprocessor.images(batch['inputs'], [sample])
    colours = class_colours(len(classes))
    original = read_picture(sample.img_path)
    if blank:
        original = np.full_like(original, 225)
    scene = _Scene(original, sample, model.extract_feat(batch['inputs']), images[0], classes, colours, scale)
    rows = {'input': _input_tiles(scene, devkit)}
    for name in model.names:
        found = model.predict_stage(name, scene.feature, [sample], images, rescale=True)[0]
        prediction = prediction_tile(name, scene.original, found, classes, colours, min_score, scale)
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
    generator, stage = model.generators.get(name), model.stages[name]
    if not isinstance(generator, AttentionGenerator):
        return []
    with inference(stage):
        x = stage.extract_feat(scene.feature)
        candidates = generator.candidates(stage, x, [scene.sample])[0]
        objects = find_objects(candidates, scene.tags, **generator.selection)
        maps, _ = generator.attention_maps(stage, x, candidates, objects, scene.image.shape[:2])
        masks = generator.segment(scene.image, maps.cpu())
    tiles = [_score_tile(candidates, label, name, scene) for label in scene.tags]
    title = 'summed masks' if isinstance(generator, MaskAggregation) else 'attention'
    tiles += [_attention_tile(title, maps, objects, label, scene) for label in sorted({found.label for found in objects})]
    tiles.append(_crf_tile(masks, objects, generator.crf is not None, scene))
    pseudo = generator(stage, scene.feature, [scene.sample], [scene.image])[0]
    return [*tiles, _label_tile(to_original(pseudo, scene.sample.metainfo), name, scene)]


def _score_tile(candidates: InstanceData, label: int, name: str, scene: _Scene) -> Tile:
    """The best proposals for a tag, the best on top and with its score; later ones fade into grey."""
    scores, order = candidates.scores[:, label].sort(descending=True, stable=True)
    count = min(_BEST, len(scores))
    shares = (scores[:count] / scores[:1].clamp(min=1e-12)).clamp(0, 1).cpu().numpy()[:, None]
    colours = (shares * scene.colours[label] + (1 - shares) * 110).astype(np.uint8)
    captions = [f'{scores[0]:.3f}', *[''] * (count - 1)] if count else []
    picture = draw_instances(scene.original, scene.boxes(candidates.bboxes[order[:count], label]), colours, captions, scale=scene.scale)
    title = 'MIL scores' if name == 'classification' else 'scores'
    return Tile('scores', f'{title}: {scene.classes[label]}', picture, f'the best {count} of {len(scores)}')


def _attention_tile(title: str, maps: Tensor, objects: Sequence[FoundObject], label: int, scene: _Scene) -> Tile:
    members = [index for index, found in enumerate(objects) if found.label == label]
    heat = maps[members].sum(0).cpu().numpy()
    proposals = sum(len(objects[index].members) for index in members)
    note = f'{counted(len(members), "object")}, {counted(proposals, "proposal")}'
    return Tile('attention', f'{title}: {scene.classes[label]}', draw_heat(scene.original, heat, scene.scale), note)


def _crf_tile(masks: NDArray[np.bool_], objects: Sequence[FoundObject], with_crf: bool, scene: _Scene) -> Tile:
    colours = scene.colours[[found.label for found in objects]] if objects else np.zeros((0, 3), np.uint8)
    size = scene.original.shape[:2]
    whole = np.array([enlarge_mask(mask, size) for mask in masks], bool).reshape(-1, *size)
    share = f'{100 * masks.any(0).mean():.0f} % of the image' if len(masks) else 'no object'
    return Tile('crf', 'after the CRF' if with_crf else 'without CRF', draw_masks(scene.original, whole, colours, scene.scale), share)


def _label_tile(pseudo: InstanceData, name: str, scene: _Scene) -> Tile:
    labels = pseudo.labels.cpu().numpy()
    captions = [f'{scene.classes[label]} w {weight:.2f}' for label, weight in zip(labels, pseudo.weights.tolist(), strict=True)]
    masks = pseudo.masks.masks.astype(bool)
    picture = draw_instances(scene.original, pseudo.bboxes.cpu().numpy(), scene.colours[labels], captions, masks, scene.scale)
    return Tile('labels', f'labels of {name}', picture, counted(len(labels), 'pseudo instance'))


def enlarge_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Nearest-neighbour mask of another size.

    >>> enlarge_mask(np.eye(2, dtype=bool), (4, 4)).sum()
    np.int64(8)
    """
    rows = (np.arange(size[0]) * mask.shape[0] // size[0]).clip(max=mask.shape[0] - 1)
    columns = (np.arange(size[1]) * mask.shape[1] // size[1]).clip(max=mask.shape[1] - 1)
    return mask[rows][:, columns]
