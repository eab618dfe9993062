"""Stop at NaN or infinite gradients, and log the gradient norm of each part."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmlabelpenet.engine.network import network
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import counted


@HOOKS.register_module()
class HealthHook(Hook):
    """Check the gradients right before each update, after clipping.

    Logs ``<part>.grad_norm`` for the backbone and each stage being trained, prefixed with the direction in recurrent fine-tuning.
    Non-finite gradients abort the run before the update; the loop adds iteration and phase to the message. In float16, the loss scaler
    skips such updates and lowers its scale.
    """

    def before_train(self, runner: Runner) -> None:
        """Register a callback before the optimizer's update."""
        self.runner = runner
        self.model = network(runner)
        self.parts = parameters_by_part(self.model)
        self.prefix = ''
        self.handle = runner.optim_wrapper.optimizer.register_step_pre_hook(self._check)

    def after_train(self, runner: Runner) -> None:
        """Remove the callback."""
        self.handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Remember the images."""
        self.batch = data_batch

    def before_update(self, runner: Runner, trains: str) -> None:
        """Remember the direction of recurrent fine-tuning."""
        self.prefix = '' if trains in self.parts else f'{trains}.'

    def _check(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        if getattr(optimizer, 'found_inf', 0) > 0:  # fused optimizers skip such updates themselves
            return
        scale = getattr(optimizer, 'grad_scale', None)  # and divide by the loss scale
        for part, parameters in self.parts.items():
            gradients = [p.grad for p in parameters.values() if p.grad is not None]
            if not gradients:
                continue
            norm = float(torch.nn.utils.get_total_norm(gradients)) / (1 if scale is None else float(scale))
            if not math.isfinite(norm):
                raise FloatingPointError(self._message(part, parameters))
            self.runner.message_hub.update_scalar(f'train/{self.prefix}{part}.grad_norm', norm)

    def _message(self, part: str, parameters: dict[str, nn.Parameter]) -> str:
        bad = [name for name, p in parameters.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
        ids = [sample.img_id for sample in self.batch['data_samples']] if self.batch else []
        return (
            f'the gradient of {part} is not finite for images {ids} or images of other ranks ({counted(len(bad), "parameter")}, the first '
            f'is {bad[0] if bad else "none alone"}). No weight was updated, and the last checkpoint is intact; lower the learning rate, '
            'clip gradients, or inspect these images.'
        )


def parameters_by_part(model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """Parameters of the backbone and of each stage, by name; a shared one is assigned to the first stage that has it."""
    parts: dict[str, dict[str, nn.Parameter]] = {'backbone': {}, **{name: {} for name in model.stages}}
    for name, parameter in model.named_parameters():
        parts[name.split('.')[1] if name.startswith('stages.') else 'backbone'][name] = parameter
    return parts
