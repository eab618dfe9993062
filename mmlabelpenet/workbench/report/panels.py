"""Show the outputs of every part of the network for one image, as a row of tiles."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.dataset import pseudo_collate

from mmlabelpenet.calibration.generators import Explanation
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.devkit import Devkit
from mmlabelpenet.formats.images import read_image
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.workbench.report.tiles import Painter, Tile


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
    """Tiles of one image, in the order of the label hand-overs.

    Args:
        model: in evaluation mode.
        data: one item of a data set at test scale: ``inputs``, ``data_samples``.
        stores: label stores by stage; a store without this image is skipped.
        devkit: ground truth, shown for images with an annotation file.
        kinds: kinds of tiles; also ``'proposals'``.
        stages: stages whose outputs are shown, at least one; None for all.
    """
    batch = model.data_preprocessor(pseudo_collate([data]), False)
    sample = batch['data_samples'][0]
    available = model.names if stages is None else stages
    shown = available if 'prediction' in kinds else ()
    needed = shown or available[:1]  # the first stage has the attention
    painter = Painter(read_image(sample.img_path)[..., ::-1], classes, scale)
    (sample,) = model.predict(batch['inputs'], [sample], stages=needed, explain='attention' in kinds)
    tiles = []
    if 'input' in kinds:
        tiles.append(painter.input(sample.gt_image_labels.onehot.nonzero().flatten().tolist()))
    if 'proposals' in kinds:
        tiles.append(painter.proposals(sample))
    if 'attention' in kinds and isinstance(told := sample.explanations.get(model.names[0]), Explanation):
        for label in sorted(set(told.labels.tolist())):
            heat = told.maps[told.labels == label].sum(0)  # for several objects
            tiles.append(painter.heat('attention', label, heat, f'{model.names[0]} stage'))
    if 'labels' in kinds:
        known = {name: store for name, store in (stores or {}).items() if sample.img_id in store.image_ids}
        tiles += [painter.stored_labels(name, store.instances(sample.img_id)) for name, store in known.items()]
    for name in shown:
        tiles.append(painter.prediction(name, sample.stage_predictions[name], min_score, model.stages[name].learns_from_tags))
    if 'truth' in kinds and devkit is not None and devkit.is_annotated(sample.img_id):
        tiles.append(painter.truth(devkit, sample.img_id))
    return tiles
