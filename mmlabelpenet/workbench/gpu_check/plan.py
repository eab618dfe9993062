"""Fit a training and its tests into the time of a section, with fewer iterations and images and a time limit."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset, Sampler

from mmlabelpenet.apis.config import build_dataset, phase_lengths
from mmlabelpenet.registry import DATA_SAMPLERS, HOOKS
from mmlabelpenet.workbench.experiments.estimate import Step, estimate
from mmlabelpenet.workbench.gpu_check.paper import HEAD, row
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

LABELS, TRAINING = 0.2, 0.45  # fractions of the time: label passes, and label passes plus iterations, as estimated; the rest is for testing
LATEST = 0.55  # fraction of the time after which phases end early, if training takes longer than estimated
AFTER = 15.0  # seconds reserved after the last tested image, for images already loaded and for summarising
FEWEST = 4  # minimum number of images, and number on a CPU


@DATA_SAMPLERS.register_module()
class TimedSampler(Sampler[int]):
    """Sample images in random order until a deadline, but at least one.

    Args:
        dataset: anything with a length.
        until: deadline in seconds of ``time.monotonic()``.
        seed: seed of the order.

    >>> len(list(TimedSampler(range(5), until=0.0)))
    1
    """

    def __init__(self, dataset: Dataset, until: float, seed: int | None = None) -> None:
        self.size, self.until, self.seed = len(dataset), until, seed  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        for number, index in enumerate(np.random.default_rng(self.seed or 0).permutation(self.size).tolist()):
            if number and time.monotonic() > self.until:
                return
            yield index

    def __len__(self) -> int:
        return self.size


@HOOKS.register_module()
class StopTraining(Hook):
    """After a deadline, ends each phase after one iteration, so that time for tests is left.

    Args:
        until: deadline in seconds of ``time.monotonic()``.

    Attributes:
        first: name of the first phase ended early.
    """

    first: str | None = None

    def __init__(self, until: float) -> None:
        self.until = until

    def before_phase(self, runner: Runner, phase: Any) -> None:
        """Record the phase."""
        self.name = phase.name

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """End the phase after the deadline."""
        if time.monotonic() > self.until:
            self.first = self.first or self.name
            runner.train_loop.stop_training = True


def fit(config: Config, settings: Settings, notes: Notebook) -> None:
    """Change a config so that training, label passes and tests end before the time limit of their section.

    All phases are shortened by the same factor. If label passes would take too long, all stages learn from fewer images, spread over the
    list. Tests process images until the deadline. On the CPU, each phase has one iteration, on few images.
    """
    images, phases = len(build_dataset(config, 'label')), phase_lengths(config)
    if settings.small:
        fewer, lengths = min(FEWEST, images), dict.fromkeys(phases, 1)
        _spread(config, ('test',), FEWEST, len(build_dataset(config, 'test')))
    else:
        steps = []
        for step in estimate(config, torch.device(settings.device), iters=2):
            steps.append(step)
            notes.row('Estimate of the whole schedule on these images', HEAD, row('float32', step))
        notes.fact('minutes of the whole schedule, estimated', round(sum(step.total for step in steps) / 60, 1))
        fewer, lengths = shortened(config, steps, settings.left(), images, notes)
    notes.fact('images trained on', f'{fewer} of {images}')
    notes.fact('iterations of each phase', ', '.join(f'{name} {iters}' for name, iters in lengths.items()))
    _spread(config, ('train', 'label'), fewer, images)
    config.merge_from_dict({f'train_cfg.phases.{name}.iters': iters for name, iters in lengths.items()})
    stop = dict(type='StopTraining', until=time.monotonic() + LATEST * settings.left())
    config.custom_hooks = [*(config.get('custom_hooks') or []), stop]
    config.test_dataloader.sampler = dict(type='TimedSampler', until=settings.end - AFTER)


def shortened(config: Config, steps: list[Step], seconds: float, images: int, notes: Notebook) -> tuple[int, dict[str, int]]:
    """Number of images, and iterations of each phase, that fit into the time before the tests."""
    phases = phase_lengths(config)
    one = sum(step.seconds for step in steps if step.name not in phases)  # seconds per image, in all label passes
    fewer = min(images, max(FEWEST, int(LABELS * seconds / one))) if one else images
    if one * fewer > TRAINING * seconds:
        notes.problem(
            f'Labels of {fewer} images take about {one * fewer:.0f} s of {seconds:.0f} s: there may be no metrics. Increase --minutes.'
        )
    training = sum(step.total for step in steps if step.name in phases)
    factor = min(1.0, max(TRAINING * seconds - one * fewer, 0.1 * seconds) / training)
    return fewer, {name: max(1, int(iters * factor)) for name, iters in phases.items()}


def _spread(config: Config, loaders: tuple[str, ...], fewer: int, images: int) -> None:
    """Use fewer images of data sets, evenly spread over their lists."""
    if fewer < images:
        for name in loaders:
            config[f'{name}_dataloader'].dataset.indices = [number * images // fewer for number in range(fewer)]
