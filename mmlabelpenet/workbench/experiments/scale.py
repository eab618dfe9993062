"""Resources for data sets of any size, computed from the cost of one image: the tables of docs/scale.md.

Shapes: N images. Costs per image were measured on one CPU core with about 500 x 375 pixels.
"""

import copy
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mmlabelpenet.apis.config import build_model
from mmlabelpenet.engine.phases import RECURRENT, Phase, make_phases
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.experiments.estimate import bytes_between_ranks

SEARCH, CRF = 1.0, 0.35  # seconds of selective search (mode fast) and of the CRF (ten iterations)
PROPOSALS = 2000 * 16  # bytes on disk: boxes of selective search (all scores are 1)
LISTED, LABELS = 300, 1600  # bytes per process: name and tags, and two labels with masks as text
VIEWS = ((300, 400), (360, 480))  # image sizes (h, w) in a training with the feature cache; each also flipped
GPUS = (1, 8, 64)
CORES = 16  # CPU cores per GPU
Rows = list[list[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """A Markdown table, numbers on the right.

    >>> print(table(['images', 'hours'], [['10', '2']]))
    | images | hours |
    | --: | --: |
    | 10 | 2 |
    """
    return '\n'.join(f'| {" | ".join(row)} |' for row in [head, ['--:'] * len(head), *rows])


def size(count: float) -> str:
    """Bytes with two significant digits.

    >>> size(8.5e6), size(118_287 * 1600), size(3.2e12)
    ('8.5 MB', '190 MB', '3.2 TB')
    """
    power = min(max(int(math.log10(max(count, 1.0)) // 3), 1), 5)
    return f'{two_digits(count / 1000**power)} {("kB", "MB", "GB", "TB", "PB")[power - 1]}'


def duration(seconds: float) -> str:
    """A time with two significant digits.

    >>> duration(5.4), duration(313), duration(3600 * 2.3), duration(3600 * 1700)
    ('5.4 s', '5.2 min', '2.3 h', '71 days')
    """
    for unit, scale, most in (('s', 1, 100), ('min', 60, 100), ('h', 3600, 60)):
        if seconds < most * scale:
            return f'{two_digits(seconds / scale)} {unit}'
    return f'{two_digits(seconds / 86400)} days'


def two_digits(value: float) -> str:
    """A number with two significant digits, and commas.

    >>> two_digits(0.123), two_digits(9.96), two_digits(28_437)
    ('0.12', '10', '28,000')
    """
    rounded = float(f'{value:.1e}')
    return f'{rounded:,.0f}' if rounded >= 10 else f'{rounded:.2g}'


def searching(images: Sequence[int]) -> str:
    """Selective search before a training."""
    rows = [[f'{n:,}', two_digits(n * SEARCH / 3600), duration(n * SEARCH / CORES), size(n * PROPOSALS)] for n in images]
    return table(['images', 'core hours', f'on {CORES} cores', 'file'], rows)


def iterations(config: Config, images: int) -> tuple[int, list[int]]:
    """Images seen by a stage, and iterations of all phases on 1, 8 and 64 GPUs.

    Shorter phases are extended so that a stage sees every image at least once.

    Args:
        config: config of a training.
        images: number of images in its data set.
    """
    phases, batch = _phases(config), config.train_dataloader.batch_size * config.optim_wrapper.get('accumulative_counts', 1)
    seen = phases[0].iters * batch
    longer = max(1.0, images / seen)
    return round(seen * longer), [round(sum(phase.iters for phase in phases) * longer / gpus) for gpus in GPUS]


def training(cases: Sequence[tuple[Config, int]]) -> str:
    """Length of trainings, for configs and numbers of images."""
    rows = []
    for config, images in cases:
        seen, counts = iterations(config, images)
        rows.append([f'{number:,}' for number in (images, seen, *counts)])
    return table(['images', 'images seen per stage', 'iterations on 1 GPU', *(f'{gpus} GPUs' for gpus in GPUS[1:])], rows)


def sending(config: Config) -> str:
    """Bytes that each GPU sends per iteration, for the phases that train one stage (mean) and for recurrent fine-tuning."""
    with torch.device('meta'):
        model = build_model(config)
    rows = []
    for gpus in GPUS[1:]:
        sent = {phase.name: bytes_between_ranks(model, phase, gpus) for phase in _phases(config)}
        recurrent = sent.pop(RECURRENT, None)
        mean = sum(sent.values()) / max(len(sent), 1)
        row = [str(gpus)]
        for count in (mean, recurrent):
            row += ['-'] * 3 if count is None else [size(count), duration(count / 1e10), duration(count / 1e9)]
        rows.append(row)
    return table(['GPUs', 'one stage', 'at 10 GB/s', 'at 1 GB/s', 'recurrent', 'at 10 GB/s', 'at 1 GB/s'], rows)


def memory(images: Sequence[int]) -> str:
    """Memory of each process for the data set; for labels, also the file size."""
    return table(['images', 'list', 'pseudo labels of one stage'], [[f'{n:,}', size(n * LISTED), size(n * LABELS)] for n in images])


def labelling(images: Sequence[int], passes: int) -> str:
    """The CRF of all label passes."""
    rows = []
    for n in images:
        seconds = n * passes * CRF
        rows.append([f'{n:,}', two_digits(seconds / 3600), *(duration(seconds / gpus / CORES) for gpus in GPUS[1:])])
    return table(['images', f'core hours of {passes} passes', *(f'with {gpus} × {CORES} cores' for gpus in GPUS[1:])], rows)


def label_passes(config: Config) -> int:
    """Number of label passes."""
    first, *others = _phases(config)
    return sum(phase.name != RECURRENT and phase.pseudo_labels is None for phase in others)


def cache_bytes(config: Config) -> int:
    """Bytes of the cached feature maps of one image, at both sizes, flipped or not."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        settings = copy.deepcopy(config.model)
        settings.feature_cache = dict(dir=folder)
        model = MODELS.build(settings).eval()
        tails = [stage.detector.backbone for stage in model.stages.values() if getattr(stage.detector.backbone, 'frozen', False)]
        for height, width in VIEWS:
            key, shared = model.feature_cache.shared(model.backbone, torch.zeros(1, 3, height, width))
            for tail in {repr(tail.fixed_layers): tail for tail in tails}.values():  # tails of the same structure share a map
                model.feature_cache.inner(tail, [key], [shared])
        return 2 * sum(path.stat().st_size for path in Path(folder).rglob('*.map'))


def caching(names: Sequence[str], configs: Sequence[Config], images: Sequence[int]) -> str:
    """The feature cache of configs."""
    each = [cache_bytes(config) for config in configs]
    return table(['images', *names], [[f'{n:,}', *(size(n * count) for count in each)] for n in images])


def all_tables(config: Config, images: Sequence[int]) -> str:
    """All of this for one config, as Markdown."""
    parts = {
        'Selective search': searching(images),
        'Training': training([(config, n) for n in images]),
        'Bytes that each GPU sends per iteration': sending(config),
        'Memory of each process for the data set': memory(images),
        'The CRF of label passes': labelling(images, label_passes(config)),
    }
    if config.model.get('feature_cache') is not None:
        parts['Feature cache'] = caching(['bytes'], [config], images)
    return '\n\n'.join(f'{title}:\n\n{text}' for title, text in parts.items())


def _phases(config: Config) -> list[Phase]:
    return make_phases(config.train_cfg.phases, [name for name, stage in config.model.stages.items() if stage is not None])
