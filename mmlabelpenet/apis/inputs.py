"""Check the input files of training and testing before anything is built, naming the command that creates each missing one."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from mmengine.config import Config

from mmlabelpenet.apis.checkpoint import read_state
from mmlabelpenet.apis.config import inner_datasets
from mmlabelpenet.apis.config_dicts import dicts_within
from mmlabelpenet.apis.evaluators import stage_metric
from mmlabelpenet.datasets.coco import COCOImages
from mmlabelpenet.datasets.image_set import open_images
from mmlabelpenet.datasets.proposals import find_proposals, proposal_command
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.files import require_file
from mmlabelpenet.models.weights import find_imagenet

TRAINED_ON = ('train_dataloader', 'label_dataloader', 'val_dataloader', 'val_evaluator')
TESTED_ON = ('test_dataloader', 'test_evaluator')
CORLOC_ON = ('corloc_dataloader', 'corloc_evaluator')


class Missing(NamedTuple):
    """A missing input: its path, and one or two lines that say how to get it."""

    path: Path
    message: str


def check_inputs(config: Config, parts: Sequence[str], promised: Collection[Path] = ()) -> None:
    """Check that the input files of training or testing exist. Large files are not opened.

    Args:
        config: its ``data_sources`` name the command or web page for each folder.
        parts: keys of the config, such as :data:`TRAINED_ON`; with the first of these, pre-trained weights and labels are checked too.
        promised: resolved paths of files that will exist in time.

    Raises:
        FileNotFoundError: lists all missing files, each with its source.
        ValueError: tags or image lists cannot be read.
    """
    found = list(_missing_data(config, parts))
    if TRAINED_ON[0] in parts:
        found += [*_missing_weights(config), *_missing_labels(config)]
    if absent := dict.fromkeys(entry.message for entry in found if entry.path.resolve() not in promised):
        raise FileNotFoundError('\n'.join(absent))


def check_measured(config: Config, kind: str) -> None:
    """Check that a metric has annotations for every image that it evaluates. Data sets without image lists, such as mmdet's, are not
    compared.

    Args:
        config: its data set, metric and image lists exist.
        kind: ``'test'`` or ``'corloc'``, the prefix of the keys of dataloader and evaluator.

    Raises:
        ValueError: the metric lacks some images; the message names the first one and both lists.
    """
    metric = stage_metric(config[f'{kind}_evaluator'])
    for dataset in inner_datasets(config[f'{kind}_dataloader'].dataset):
        if 'split' not in dataset or (dataset['data_root'], dataset['split']) == (metric['data_root'], metric['split']):
            continue
        measured, known = (set(open_images(node['data_root'], ()).image_ids(node['split'])) for node in (dataset, metric))
        if unknown := measured - known:
            raise ValueError(
                f'{kind}_dataloader reads split {dataset["split"]!r} of {dataset["data_root"]}, but {kind}_evaluator compares with split '
                f'{metric["split"]!r} of {metric["data_root"]}, which lacks {len(unknown)} of its images, such as {min(unknown)!r}. '
                f'Set data_root and split of {kind}_evaluator to those of the data.'
            )


def check_proposals(config: Config, loader: str, stages: Collection[str]) -> None:
    """Reject a data set without proposals for stages that have no RPN; they would silently learn and find nothing.

    Args:
        loader: key of the data loader.
        stages: names of the stages that read it.
    """
    without_rpn = [name for name in stages if not config.model.stages[name].detector.get('rpn_head')]
    for dataset in inner_datasets(config[loader].dataset) if without_rpn else ():
        if 'split' in dataset and not dataset.get('proposals'):
            raise ValueError(
                f'{loader}.dataset has no proposals, which the stage {without_rpn[0]} needs because it has no RPN: set proposals=FILE.npz. '
                f'Create it with\n    {proposal_command(dataset["data_root"], dataset["split"], "FILE.npz")}'
            )


def _missing_data(config: Config, parts: Sequence[str]) -> Iterator[Missing]:
    """Inputs of our data sets, mmdet data sets (their annotation files) and metrics."""
    sources = config.get('data_sources') or {}
    for _, node, _ in dicts_within({part: config.get(part) for part in parts}):
        try:
            if 'data_root' in node and 'split' in node:
                _check_devkit(node)
            elif node.get('ann_file'):
                path = Path(node.get('data_root') or '', node['ann_file'])
                require_file(path, f'Annotation file {str(path)!r} does not exist.')
        except FileNotFoundError as error:
            path = Path(node.get('data_root') or '', node.get('split') or node.get('ann_file'))
            source = next((source for folder, source in sources.items() if path.is_relative_to(folder)), '')
            yield Missing(path, f'{error} The data comes from\n    {source}' if source else str(error))
        if node.get('proposals') and 'split' in node:
            yield from _found_missing(node['proposals'], find_proposals, node['proposals'], node['data_root'], node['split'])


def _check_devkit(node: Mapping[str, Any]) -> None:
    """The image list of a data set, and its tag files."""
    # a metric takes its classes from the data set
    classes = (node.get('metainfo') or {}).get('classes') or (VOC_CLASSES if 'pipeline' in node else ())
    source = node.get('tags', 'lists')
    devkit = open_images(node['data_root'], classes)
    devkit.list_file(node['split'])
    if 'pipeline' not in node or source is None:  # not a data set, or one without tags
        return
    if source == 'xml' and not isinstance(devkit, COCOImages):
        if not (devkit.data_root / 'Annotations').is_dir():
            raise FileNotFoundError(f'Tags are read from {str(devkit.data_root / "Annotations")!r}, but there is no such folder.')
    elif source not in ('lists', 'xml') or not isinstance(devkit, COCOImages):
        devkit.tags(node['split'], source, node.get('use_difficult_tags', False))


def _missing_weights(config: Config) -> Iterator[Missing]:
    """ImageNet weights of each part, and the checkpoint from which training starts; URLs are downloaded when needed."""
    for _, node, _ in dicts_within(config.get('model')):
        place = node.get('checkpoint')
        if node.get('type') == 'ImageNetWeights':
            yield from _found_missing(place, find_imagenet, node['arch'], node['preset'], place)
        elif node.get('type') == 'Pretrained' and not _there(place):
            yield Missing(
                Path(place), f'Weights {place!r} of the model do not exist. Copy them there, or change checkpoint in the init_cfg.'
            )
    start = config.get('load_from')
    if start and Path(start).expanduser().is_dir():
        yield from _found_missing(start, read_state, start)
    elif start and not _there(start):
        leaf = Path(config.filename or 'config.py').with_name(f'{Path(start).parent.name}.py')
        maker = (
            f' It is written by\n    python tools/train.py {quote(str(leaf))}'
            if leaf.is_file()
            else ' Training writes them as <work dir>/iter_<n>.pth.'
        )
        yield Missing(Path(start), f'Checkpoint {start} does not exist.{maker}')


def _missing_labels(config: Config) -> Iterator[Missing]:
    """Label stores and checkpoints named by phases."""
    for _, node, _ in dicts_within(config.get('train_cfg')):
        start = node.get('warm_start')
        if isinstance(start, str) and not _there(start):
            yield Missing(Path(start), f'Checkpoint {start} in warm_start of a phase does not exist. Training writes them as iter_<n>.pth.')
        store = node.get('pseudo_labels')
        if store and not _there(store):
            yield Missing(Path(store), f'Label store {store} of a phase does not exist. Training writes it to pseudo_labels/.')


def _found_missing(path: Any, find: Any, *arguments: Any) -> Iterator[Missing]:
    try:
        find(*arguments)
    except FileNotFoundError as error:
        yield Missing(Path(path or ''), str(error))


def _there(place: str) -> bool:
    return '://' in place or Path(place).expanduser().is_file()
