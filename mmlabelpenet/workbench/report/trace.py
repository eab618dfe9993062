"""One image from its tags to the result, as rows of tiles: the input, the intermediate steps and the labels handed over by each stage.

Shapes: R proposals, C classes, K objects, (h, w) image.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from mmlabelpenet.calibration.attention import class_attention
from mmlabelpenet.calibration.generators import Explanation, MaskAggregation
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.schema import counted
from mmlabelpenet.structures import to_original
from mmlabelpenet.visualization.drawing import draw_instances, draw_masks
from mmlabelpenet.workbench.report.tiles import Painter, Tile

_BEST = 8  # number of proposals drawn by score


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
    """Rows of tiles, by name.

    Args:
        model: in evaluation mode.
        data: one packed sample at test scale, with tags and proposals; pseudo labels are generated for the tags.
        devkit: with annotations of the image; None draws none.
        blank: draw on a blank page, for images that must not be shown.

    Returns:
        ``'input'`` (image with tags, proposals, ground truth), then one row per stage: scores and attention of each tag, their masks after
        the CRF, the pseudo instances with weights that are handed over, and the stage's prediction.
    """
    batch = model.data_preprocessor(pseudo_collate([data]), False)
    (image,) = model.data_preprocessor.images(batch['inputs'], batch['data_samples'])
    (sample,) = model.predict(batch['inputs'], batch['data_samples'], stages=model.names, explain=True)
    original = read_rgb(sample.img_path)
    painter = Painter(np.full_like(original, 225) if blank else original, classes, scale)
    rows = {'input': [painter.input(_tags(sample)), painter.proposals(sample)]}
    if devkit is not None and devkit.is_annotated(sample.img_id):
        rows['input'].append(painter.truth(devkit, sample.img_id))
    for name in model.names:
        title, ranks = f'prediction of {name}', model.stages[name].learns_from_tags
        prediction = painter.prediction(title, sample.stage_predictions[name], min_score, ranks)
        rows[name] = [*_hand_over_tiles(model, name, painter, sample, image), prediction]
    return rows


def _tags(sample: DetDataSample) -> list[int]:
    return sample.gt_image_labels.onehot.nonzero().flatten().tolist()


def _hand_over_tiles(model: LabelPENet, name: str, painter: Painter, sample: DetDataSample, image: NDArray[np.uint8]) -> list[Tile]:
    """Scores, attention, CRF and labels of a stage that hands labels over; ``image`` is the network input."""
    stage, told = model.stages[name], sample.explanations.get(name)
    if not isinstance(told, Explanation):
        return []
    scored = 'MIL scores' if stage.learns_from_tags else 'scores'
    title = 'summed masks' if isinstance(stage.labels, MaskAggregation) else 'attention'
    tiles = [_score_tile(scored, told.reading.candidates, label, painter, sample) for label in _tags(sample)]
    for label in sorted(set(told.labels.tolist())):
        chosen = told.labels == label
        note = f'{counted(int(chosen.sum()), "object")}, {counted(int(told.member_counts[chosen].sum()), "proposal")}'
        tiles.append(painter.heat(title, label, told.maps[chosen].sum(0), note))
    attention = class_attention(torch.from_numpy(told.maps), stage.labels.peak)
    tiles.append(_crf_tile(stage.labels.segment(image, attention.numpy()), told, stage.labels.crf is not None, painter))
    pseudo = to_original(stage.labels.label(image, told), sample.metainfo)
    bboxes, labels = pseudo.bboxes.cpu().numpy(), pseudo.labels.cpu().numpy()
    return [*tiles, painter.labels(name, bboxes, labels, pseudo.weights.tolist(), pseudo.masks.masks.astype(bool))]


def _score_tile(title: str, candidates: InstanceData, label: int, painter: Painter, sample: DetDataSample) -> Tile:
    """The best proposals for a tag, the best one on top with its score; lower-ranked ones fade to grey."""
    scores, order = candidates.scores[:, label].sort(descending=True, stable=True)
    count = min(_BEST, len(scores))
    shares = (scores[:count] / scores[:1].clamp(min=1e-12)).clamp(0, 1).cpu().numpy()[:, None]
    colours = (shares * painter.colours[label] + (1 - shares) * 110).astype(np.uint8)
    captions = [f'{scores[0]:.3f}', *[''] * (count - 1)] if count else []
    bboxes = candidates.bboxes[order[:count], label].cpu().numpy() / np.tile(sample.scale_factor, 2)
    drawn = draw_instances(painter.original, bboxes, colours, captions, scale=painter.scale)
    return Tile('scores', f'{title}: {painter.classes[label]}', drawn, f'the best {count} of {len(scores)}')


def _crf_tile(masks: NDArray[np.bool_], told: Explanation, with_crf: bool, painter: Painter) -> Tile:
    size = painter.original.shape[:2]
    whole = np.array([cv2.resize(m.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) for m in masks], bool)
    share = f'{100 * masks.any(0).mean():.0f} % of the image' if len(masks) else 'no object'
    drawn = draw_masks(painter.original, whole.reshape(-1, *size), painter.colours[told.labels], painter.scale)
    return Tile('crf', 'after the CRF' if with_crf else 'without CRF', drawn, share)
