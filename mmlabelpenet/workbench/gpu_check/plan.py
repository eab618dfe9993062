"""What of a training and its tests fits into the time of a section: fewer iterations and images, and an end to both."""

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

LABELS, TRAINING = 0.2, 0.45  # of the time: label passes, and these with all iterations, as estimated; what is left is for testing
LATEST = 0.55  # of the time: where training takes longer than estimated, its phases end early from then on
AFTER = 15.0  # seconds kept after the last tested image: for images that are loaded already, and adding up
FEWEST = 4  # images, at least, and on a CPU


@DATA_SAMPLERS.register_module()
class TimedSampler(Sampler[int]):
    """Images in a random order until a time; the first always comes.

    Args:
        dataset: anything with a length.
        until: in seconds of ``time.monotonic()``.
        seed: of the order.

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
    """Ends each phase after an iteration from a time on, so that time for tests is left.

    Args:
        until: in seconds of ``time.monotonic()``.

    Attributes:
        first: name of the first phase that was ended.
    """

    first: str | None = None

    def __init__(self, until: float) -> None:
        self.until = until

    def before_phase(self, runner: Runner, phase: Any) -> None:
        """Note which phase it is."""
        self.name = phase.name

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """End the phase if it is time."""
        if time.monotonic() > self.until:
            self.first = self.first or self.name
            runner.train_loop.stop_training = True


def fit(config: Config, settings: Settings, notes: Notebook) -> None:
    """Change a config so that training, label passes and tests end before their section is cut off.

    Phases are shortened by one factor. Where label passes would take too long, all stages learn from fewer images,
    spread over the list. Tests take images until the time is over. On the CPU there is one iteration of each phase, on few images.
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
    """How many of the images, and iterations of each phase, fit into a time with tests after them."""
    phases = phase_lengths(config)
    one = sum(step.seconds for step in steps if step.name not in phases)  # image, in all label passes
    fewer = min(images, max(FEWEST, int(LABELS * seconds / one))) if one else images
    if one * fewer > TRAINING * seconds:
        notes.problem(
            f'Labels of {fewer} images take about {one * fewer:.0f} s of {seconds:.0f} s: there may be no metrics. Give more --minutes.'
        )
    training = sum(step.total for step in steps if step.name in phases)
    factor = min(1.0, max(TRAINING * seconds - one * fewer, 0.1 * seconds) / training)
    return fewer, {name: max(1, int(iters * factor)) for name, iters in phases.items()}


def _spread(config: Config, loaders: tuple[str, ...], fewer: int, images: int) -> None:
    """Take fewer images of data sets, at equal distances in their lists."""
    if fewer < images:
        for name in loaders:
            config[f'{name}_dataloader'].dataset.indices = [number * images // fewer for number in range(fewer)]
