"""Other ways to run the convolutions of backbone and tails, possibly faster on a GPU; the results are the same up to rounding."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmlabelpenet.registry import HOOKS


@HOOKS.register_module()
class FastLayersHook(Hook):
    """Run the shared backbone and the tail of every stage in channels-last memory format, compiled, or both.

    Names and values of weights do not change, so checkpoints and label stores are interchangeable between runs with and without it.

    Args:
        channels_last: store the weights of convolutions, and so their outputs, in channels-last memory format.
        compile: compile the layers with ``torch.compile`` when they first run, for images of any size.

    Raises:
        ValueError: neither is set.
    """

    def __init__(self, channels_last: bool = False, compile: bool = False) -> None:
        if not (channels_last or compile):
            raise ValueError('FastLayersHook does nothing: set channels_last=True, compile=True or both.')
        self.channels_last, self.compile = channels_last, compile

    def before_run(self, runner: Runner) -> None:
        """Change the layers."""
        model = getattr(runner.model, 'module', runner.model)
        for module in layers(model):
            if self.channels_last:
                module.to(memory_format=torch.channels_last)
            if self.compile:
                module.compile(dynamic=True)


def layers(model: Any) -> list[nn.Module]:
    """Backbone and tails, each once; stages may share one."""
    return list(dict.fromkeys([model.backbone, *(stage.detector.backbone for stage in model.stages.values())]))
