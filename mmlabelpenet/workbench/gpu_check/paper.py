"""VGG-16 as in the paper: iterations of each phase, in each precision, and label passes, on random noise of the paper's size."""

from typing import Any

import torch
from mmengine.config import Config
from torch.utils.data import Dataset

from mmlabelpenet.apis.config import load_config
from mmlabelpenet.engine.precision import DTYPES
from mmlabelpenet.files import shipped
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.experiments.estimate import LABEL_PASSES, PHASES, Step, estimate
from mmlabelpenet.workbench.experiments.memory import synthetic_batch
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

CONFIG = 'configs/labelpenet/labelpenet_vgg16_voc07.py'
IMAGES = 5011  # VOC 2007 trainval
LARGE, SMALL = ((900, 1200), 2000), ((64, 96), 30)  # (h, w) of images, proposals
ANY = 'any'  # label passes always run in float32
HEAD = ['precision', 'step', 'seconds each', 'per second', 'peak GB', 'waits', 'times', 'hours', 'where the time goes']


@DATASETS.register_module()
class NoiseTags(Dataset):
    """A random-noise image with three tags, random proposals and pseudo instances, returned for every index.

    Args:
        size: (h, w).
        proposals: number of proposals.
        length: number of images it represents.

    >>> len(NoiseTags(20, (60, 80), 5, length=3)[2]['data_samples'].proposals)
    5
    """

    def __init__(self, num_classes: int, size: tuple[int, int], proposals: int, length: int = IMAGES) -> None:
        self.length = length
        batch = synthetic_batch(num_classes, tuple(size), proposals, 1)
        self.image, self.sample = batch['inputs'][0], batch['data_samples'][0]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> dict:
        return dict(inputs=self.image, data_samples=self.sample.clone())


def paper(settings: Settings, notes: Notebook) -> None:
    """Measure every phase in float32, bf16 and fp16, then the label passes, which do not depend on the precision.

    Failures are recorded as problems.
    """
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmlabelpenet')
    size, proposals = SMALL if settings.small else LARGE
    notes.fact(
        'image, proposals', f'{size[1]}x{size[0]}, {proposals}' + (', thin heads: hours are those of this size' if settings.small else '')
    )
    notes.fact('images per batch', paper_config(size, proposals).train_dataloader.batch_size)
    hours = {
        precision: measure(settings, notes, precision, PHASES) for precision in ('float32', *list(DTYPES)[: 1 if settings.small else None])
    }
    told = ', '.join(f'{precision} {each:.1f}' for precision, each in hours.items() if each is not None)
    size_of = ' at this small size' if settings.small else ''
    notes.result(f'hours of all phases{size_of}: {told}' if told else 'no precision works')
    labels = measure(settings, notes, ANY, LABEL_PASSES)
    for precision, iterations in hours.items():
        if iterations is not None and labels is not None:
            notes.fact(f'hours of the whole schedule, {precision}', round(iterations + labels, 2))


def measure(settings: Settings, notes: Notebook, precision: str, what: str) -> float | None:
    """Hours of all phases or of all label passes, with a row for each; None if one fails, which is recorded as a problem."""
    size, proposals = SMALL if settings.small else LARGE
    iters = 1 if settings.small else 2 if what == LABEL_PASSES else 5  # the CPU part of a label pass takes seconds
    config, hours = paper_config(size, proposals, precision, settings.small), 0.0
    try:
        for step in estimate(config, torch.device(settings.device), iters=iters, measured=[what]):
            notes.row('Measured', HEAD, row(precision, step))
            hours += step.total / 3600
    except (RuntimeError, ValueError, FloatingPointError) as error:
        notes.problem(f'{what}, {precision}: {type(error).__name__}: {error}'[:500])
        return None
    finally:
        if settings.device == 'cuda':
            torch.cuda.empty_cache()
    notes.fact(f'hours of {what}' + (f', {precision}' if what == PHASES else ''), round(hours, 2))
    return hours


def paper_config(size: tuple[int, int], proposals: int, precision: str = 'float32', thin: bool = False) -> Config:
    """The paper's config on random noise.

    Args:
        size: (h, w) of the images.
        precision: of the iterations, ``'float32'``, ``'bf16'`` or ``'fp16'``.
        thin: whether fully connected layers have 32 units, for a quick check on a CPU.
    """
    config = load_config(shipped(CONFIG))
    noise = dict(type='NoiseTags', num_classes=config.model.num_classes, size=size, proposals=proposals)
    for loader in ('train_dataloader', 'label_dataloader'):
        config[loader].dataset = noise
    config.label_dataloader.batch_size = 1  # images are labelled one by one
    if precision in DTYPES:
        config.optim_wrapper.merge(dict(type='MixedPrecisionWrapper', dtype=precision))
    if thin:
        _thin(config.model)
    return config


def row(precision: str, step: Step) -> list:
    """A step as a row of the table."""
    shares = ', '.join(f'{part} {100 * share:.0f} %' for part, share in step.shares())
    rate = round(1 / step.seconds, 2) if step.seconds else None
    memory = round(step.memory / 1e9, 2)
    waits = f'{100 * step.waits:.0f} %'
    return [precision, step.name, round(step.seconds, 4), rate, memory, waits, step.times, round(step.total / 3600, 2), shares]


def _thin(node: Any) -> None:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == 'fc_out_channels':
            node[key] = 32
        elif key == 'fc_channels':
            node[key] = (32,) * len(value)
        elif isinstance(value, dict | list):
            _thin(value)
