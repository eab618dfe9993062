"""Keep stages that a phase does not need on the CPU."""

from collections.abc import Collection

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmlabelpenet.registry import HOOKS


@HOOKS.register_module()
class IdleStagesHook(Hook):
    """Keep only the stage that trains, or those that label, on the GPU, with their optimizer state.

    In recurrent fine-tuning and in validation, all stages are on the GPU. For one GPU only: with several ranks, gradient buckets need all
    parameters on one device.
    """

    def __init__(self) -> None:
        self.needed: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Raise a ValueError on several ranks."""
        if is_model_wrapper(runner.model):
            raise ValueError('IdleStagesHook supports only one GPU. Remove it from custom_hooks to train on several.')

    def before_label_pass(self, runner: Runner, stage: str) -> None:
        """Move the stage that labels, and those it is read with, to the GPU."""
        makers = [maker.name for maker in runner.model.reader.makers(stage)]
        place(runner.model, makers, get_device(), runner.optim_wrapper.optimizer)

    def before_phase(self, runner: Runner, phase) -> None:
        """Move the stage that trains, or all, to the GPU."""
        self.needed = [phase.name] if phase.name in runner.model.stages else list(runner.model.stages)
        place(runner.model, self.needed, get_device(), runner.optim_wrapper.optimizer)

    def before_val(self, runner: Runner) -> None:
        """Validation also needs the earlier stages."""
        place(runner.model, list(runner.model.stages), get_device(), runner.optim_wrapper.optimizer)

    def after_val(self, runner: Runner) -> None:
        """Restore the state of training."""
        place(runner.model, self.needed, get_device(), runner.optim_wrapper.optimizer)


def place(model: nn.Module, needed: Collection[str], device: str | torch.device, optimizer: torch.optim.Optimizer) -> None:
    """Move needed stages to ``device`` and the others to the CPU, each with its optimizer state.

    Parameters remain the same objects.
    """
    idle = [stage for name, stage in model.stages.items() if name not in needed]
    for stage in [*idle, *(model.stages[name] for name in needed)]:  # needed stages last, because stages may share a tail
        target = torch.device('cpu') if any(stage is other for other in idle) else torch.device(device)
        parameters = list(stage.parameters())
        stage.to(target)
        for parameter in parameters:
            for key, value in optimizer.state.get(parameter, {}).items():
                if torch.is_tensor(value) and (value.dim() or optimizer.defaults.get('fused')):  # otherwise numbers stay on the CPU
                    optimizer.state[parameter][key] = value.to(target)
