"""The network of a runner."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def network(runner: Runner) -> nn.Module:
    """The runner's model without the wrapper that it has on several ranks."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
