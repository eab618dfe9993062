"""The pass between two phases: a finished stage labels the training set once (Sec. 3.3; the labels of a frozen stage are constant)."""

import copy
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.data import Subset

from mmlabelpenet.calibration.generators import LabelGenerator
from mmlabelpenet.calibration.reading import inference
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter, differences
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.log import warn
from mmlabelpenet.models.feature_cache import weights_hash
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.schema import json_hash, plain_json
from mmlabelpenet.structures import pseudo_instances, to_original
from mmlabelpenet.workers import Workers


def check_maker(store: PseudoLabelStore, model: nn.Module) -> None:
    """Raise a ValueError for a store whose maker had other weights; a store without this information is accepted."""
    stage, weights = store.header.get('stage'), store.header.get('weights')
    if weights is None or (stage in model.stages and weights == makers_hash(model, stage)):
        return
    raise ValueError(
        f'The store that the phase names in pseudo_labels was made by the {stage} stage of another checkpoint. Give that checkpoint as '
        'load_from, leave pseudo_labels out to have the labels made, or set any_maker=True in the phase to learn from them all the same.'
    )


class LabelPass:
    """Runs one stage's label generator over the training set and writes the label store.

    Args:
        dataloader: config; its data set is the training split at test scale, without augmentation. ``num_workers`` processes load images,
            and as many others run the CRF.
        folder: of the stores, ``<folder>/<stage>.json``.
        model_config: of the network; a store is tied to it.
    """

    def __init__(self, dataloader: dict, folder: str | Path, model_config: Mapping) -> None:
        self.model_config = model_config
        self.dataloader = copy.deepcopy(dataloader)
        self.num_workers = int(dataloader.get('num_workers', 0))
        self.folder = Path(folder)

    def run(self, runner: Runner, stage: str, model: nn.Module) -> PseudoLabelStore:
        """The store of ``stage``: read if these weights have already written it, completed if a pass was interrupted.

        Every rank labels a share, rank 0 merges. An OSError says what to do if the disk is full.
        """
        dataset = DATASETS.build(self.dataloader['dataset'])
        if (different := len(set(dataset.image_ids))) < len(dataset):
            raise ValueError(
                f'Labels are kept by image id, and label_dataloader.dataset has {len(dataset)} images of {different} ids. Take '
                'wrappers that repeat images out of it; data sets with equal ids are joined by tools/dataset_converters/join_voc.py.'
            )
        header, path = fingerprint(self.model_config, stage, model, dataset), self.folder / f'{stage}.json'
        store = PseudoLabelStore.load(path) if path.exists() else None
        if store is not None and (changed := differences(store.header, header)):
            warn(f'{path} was made with different {", ".join(changed)} and is regenerated.')
            store = None
        if store is None:
            try:
                self._make(runner, stage, model, dataset, PseudoLabelWriter(path, header, get_rank()))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise OSError(
                    error.errno,
                    f'The pseudo labels of {stage} cannot be written to {self.folder} ({error.strerror}). What is written stays: make '
                    'space, then continue with --resume',
                ) from error
            store = PseudoLabelStore.load(path)
        print_log(f'{stage}: {store.summary()}, in {path}', 'current')
        if not store.num_instances:
            warn(
                f'{stage} gives no pseudo instance in any of {len(store)} images: the next phase has a loss of zero. Look at the tags, the '
                'proposals and what this stage has learnt.'
            )
        return store

    def _make(self, runner: Runner, stage: str, model: nn.Module, dataset: VOCTags, writer: PseudoLabelWriter) -> None:
        image_ids = dataset.image_ids
        barrier()
        done = writer.labelled()  # read by all ranks before any of them writes on
        barrier()
        self._label(runner, stage, model, dataset, [i for i, name in enumerate(image_ids) if name not in done], writer)
        barrier()
        if is_main_process():
            add_unreadable(writer, dataset, image_ids)
            writer.finish(image_ids, dataset.metainfo['classes'])
        barrier()

    def _label(self, runner: Runner, stage: str, model: nn.Module, dataset, remaining: list[int], writer: PseudoLabelWriter) -> None:
        sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
        loader = runner.build_dataloader(self.dataloader | dict(dataset=Subset(dataset, remaining), sampler=sampler))
        generator = model.stages[stage].labels

        def explained() -> Iterator[tuple[LabelGenerator, np.ndarray, Any, DetDataSample]]:
            for batch in loader:
                data = model.data_preprocessor(batch, False)
                samples = data['data_samples']
                for sample, (image, explanation) in zip(samples, model.explain(stage, data['inputs'], samples), strict=True):
                    yield generator, image, explanation, DetDataSample(metainfo=sample.metainfo)

        with inference(model), Workers(self.num_workers) as workers, ProgressBar(f'labels of {stage}', len(remaining)) as bar:
            for sample, pseudo in workers.map(label, explained()):
                writer.add(sample.img_id, Path(sample.img_path).name, sample.ori_shape, pseudo, sample.img_path)
                bar.advance()


def fingerprint(model_config: dict, stage: str, model: nn.Module, dataset: VOCTags) -> dict[str, Any]:
    """All that the labels of a stage depend on, by name, long values as a hash: a store of which one part differs is regenerated.

    Image files are not among it: a store has the hash of each, and training compares them.
    """
    heads, trained = [model.stages[stage], *model.peers[stage]], ('train_cfg', 'init_cfg')
    backbone, *detectors = (
        {key: value for key, value in part.items() if key not in trained}
        for part in (model_config['backbone'], *(model_config['stages'][each.name]['detector'] for each in heads))
    )
    return dict(
        stage=stage,
        weights=makers_hash(model, stage),
        backbone=json_hash(backbone),
        detector=json_hash([model_config.get('data_preprocessor'), *detectors]),
        rounded_maps=model_config.get('feature_cache') is not None,
        generator=plain_json(model.stages[stage].labels.settings()),
        **dataset.inputs(),
    )


def makers_hash(model: nn.Module, stage: str) -> str:
    """Hash of all weights that make the labels of a stage: those of the backbone, of the stage, and of those that score with it."""
    return weights_hash(model.backbone, model.stages[stage], *model.peers[stage])


def label(explained: tuple[LabelGenerator, np.ndarray, Any, DetDataSample]) -> tuple[DetDataSample, InstanceData]:
    """The part of labelling an image that needs no network; pseudo instances in pixels of the original image."""
    generator, image, explanation, sample = explained
    return sample, to_original(generator.label(image, explanation), sample.metainfo)


def add_unreadable(writer: PseudoLabelWriter, dataset: VOCTags, image_ids: list[str]) -> None:
    """Images that the data set may skip get no pseudo instances."""
    labelled = writer.labelled()
    missing = [index for index, name in enumerate(image_ids) if name not in labelled]
    if len(missing) > dataset.max_bad_images:
        return  # the writer names them
    nothing = pseudo_instances(torch.zeros(0, 4), torch.zeros(0).long(), np.zeros((0, 1, 1)), torch.zeros(0))
    for info in map(dataset.get_data_info, missing):
        writer.add(info['img_id'], Path(info['img_path']).name, info.get('proposal_image_size', (0, 0)), nothing)
