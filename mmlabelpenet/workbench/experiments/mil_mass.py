"""Measure on checkpoints where the classification stage looks (:mod:`~mmlabelpenet.workbench.experiments.mil_mass_measures`)."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.apis.config import config_devkit, config_hash, stage_names
from mmlabelpenet.apis.receipt import receipt
from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.datasets.devkit import Devkit
from mmlabelpenet.datasets.samplers import evenly_spread
from mmlabelpenet.files import file_hash
from mmlabelpenet.models import LabelPENet
from mmlabelpenet.models.feature_cache import weights_hash
from mmlabelpenet.progress import track
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.experiments.leading_stages import load_leading_stages
from mmlabelpenet.workbench.experiments.mil_mass_measures import painted, summarise_mass, tag_mass


def mil_mass(config: Config, checkpoints: Sequence[str | Path], max_images: int | None = None) -> dict[str, Any]:
    """Go through the training list once, without augmentation, with the first stages of all checkpoints.

    Args:
        config: with ``corloc_dataloader``, whose images have annotated boxes; masks are used where there are some.
        max_images: only so many, evenly spread over the list; None takes all.

    Returns:
        ``checkpoints``, for each ``path``, ``iteration`` (None if it does not say) and the percentages of
        :func:`~mmlabelpenet.workbench.experiments.mil_mass_measures.summarise_mass`, by rising iteration; and ``meta``.

    Raises:
        FileNotFoundError: no such checkpoint, data or proposals.
        ValueError: a checkpoint of another model, or nothing to measure.
    """
    start = time.monotonic()
    init_default_scope(config.get('default_scope', 'mmlabelpenet'))
    nets, metas = zip(*(load_leading_stages(config, path, stage_names(config)[0]) for path in checkpoints), strict=True)
    dataset = DATASETS.build(copy.deepcopy(config.corloc_dataloader.dataset))
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
    meta = dict(config=config.filename, config_sha256=config_hash(config), split=dataset.split, images=len(indices), tags=len(labels))
    return dict(checkpoints=sorted(rows, key=lambda row: row['iteration'] or 0), meta={**meta, **receipt(start)})


def objects_of(devkit: Devkit, sample: DetDataSample) -> dict[int, tuple[NDArray, NDArray[np.bool_]]]:
    """Boxes (G, 4) and pixels (h, w) of the objects of each tag; of none if the image has no proposals."""
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
    """What :func:`~mmlabelpenet.workbench.experiments.mil_mass_measures.tag_mass` says of each tag."""
    detector = net.stages[net.names[0]].detector
    (logits,) = detector.roi_head.logits(detector.extract_feat(feature), [sample.proposals.bboxes])
    scores, weights = detector.roi_head.ranking_scores(*logits), logits[1].double().softmax(0)
    bboxes = sample.proposals.bboxes / sample.proposals.bboxes.new_tensor(sample.scale_factor).repeat(2)
    arrays = [torch.as_tensor(value).cpu().numpy() for value in (bboxes, scores, weights)]
    return {
        label: tag_mass(arrays[0], arrays[1][:, label], arrays[2][:, label], objects, pixels) for label, (objects, pixels) in truth.items()
    }
