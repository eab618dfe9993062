"""Estimate the training time on your own images before training starts."""

import copy

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.apis.config import phase_lengths
from mmlabelpenet.progress import ProgressBar
from mmlabelpenet.schema import counted
from mmlabelpenet.workbench.experiments.estimate import Step, estimate


def measure_steps(config: Config) -> list[Step]:
    """Phases and label passes of a config, each measured for one iteration on this machine."""
    init_default_scope(config.get('default_scope', 'mmlabelpenet'))
    config = copy.deepcopy(config)
    config.model.feature_cache = (
        None  # cached maps of untrained weights would be useless; with a cache, training is faster than the estimate
    )
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    steps = []
    with ProgressBar('measuring the time', 2 * len(phase_lengths(config)) - 1) as bar:
        for step in estimate(config, device, iters=1):
            steps.append(step)
            bar.advance()
    return steps


def told(steps: list[Step]) -> str:
    """Steps in words.

    >>> told([Step('classification', 120, 3.0), Step('labels of classification', 60, 1.0), Step('detection', 120, 30.0)])
    'Training takes about 67 minutes: classification 6, labels of classification 1, detection 60.'
    """
    minutes = ', '.join(f'{step.name} {_minutes(step.total)}' for step in steps)
    return f'Training takes about {counted(_minutes(sum(step.total for step in steps)), "minute")}: {minutes}.'


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / 60))
