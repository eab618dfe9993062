"""Build the optimizer of a config without a log line per tensor, and keep the config's settings when resuming."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor as MMEngineConstructor
from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import Optimizer

from mmlabelpenet.log import warn
from mmlabelpenet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmlabelpenet.schema import counted


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DefaultOptimWrapperConstructor(MMEngineConstructor):
    """mmengine's constructor with a one-line summary instead of a log line per tensor, of which a frozen backbone has hundreds.

    Warns about ``custom_keys`` that match no parameter name, which mmengine ignores silently. A checkpoint contains the settings of its
    optimizer, such as the weight decay; when resuming, those of the config are used.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer."""
        names = [name for name, _ in model.named_parameters()]
        for key in self.paramwise_cfg.get('custom_keys', {}):
            if not any(key in name for name in names):
                warn(f'optim_wrapper.paramwise_cfg.custom_keys: no parameter has {key!r} in its name.')
        logger, rules, frozen = MMLogger.get_current_instance(), set[str](), []

        def is_general(record: logging.LogRecord) -> bool:
            text = record.getMessage()
            if text.startswith('paramwise_options -- '):
                rules.add(text.removeprefix('paramwise_options -- ').partition(':')[0])
            elif text.endswith('is skipped since its requires_grad=False'):
                frozen.append(text)
            else:
                return True
            return False

        logger.addFilter(is_general)
        try:
            wrapper = super().__call__(model)
        finally:
            logger.removeFilter(is_general)
        if rules:
            own, skipped = counted(len(rules), 'tensor', 'has'), counted(len(frozen), 'tensor', 'is')
            logger.info(f'paramwise_cfg: {own} separate rules, {skipped} frozen and skipped.')
        keep_settings(wrapper.optimizer)
        return wrapper


def keep_settings(optimizer: Optimizer) -> None:
    """Make an optimizer load only its state and learning rates from a checkpoint, but no other settings.

    Loading a checkpoint of another kind of optimizer, whose state has another meaning, then raises a ValueError.

    >>> first, second = (torch.optim.SGD([torch.zeros(1)], lr=1.0, weight_decay=decay) for decay in (0.1, 0.2))
    >>> keep_settings(second)
    >>> second.load_state_dict(first.state_dict())
    >>> second.param_groups[0]['weight_decay']
    0.2
    """
    settings = [{key: value for key, value in group.items() if key != 'params'} for group in optimizer.param_groups]

    def check(optimizer: Optimizer, state: dict) -> None:
        saved = state['param_groups']
        if len(saved) != len(settings) or _numbers(saved) != _numbers(settings):
            raise ValueError(
                f'The checkpoint was written with another optimizer. It has {counted(len(saved), "parameter group")} with '
                f'{", ".join(sorted(_numbers(saved)))}, {type(optimizer).__name__} of the config {len(settings)} with '
                f'{", ".join(sorted(_numbers(settings)))}. Keep optim_wrapper unchanged, or start from the weights only: set load_from.'
            )

    def restore(optimizer: Optimizer) -> None:
        for group, configured in zip(optimizer.param_groups, settings, strict=True):
            group |= {key: value for key, value in configured.items() if key not in ('lr', 'initial_lr')}

    optimizer.register_load_state_dict_pre_hook(check)
    optimizer.register_load_state_dict_post_hook(restore)


def _numbers(groups: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of settings that are numbers or tuples of numbers, which identify the kind of optimizer."""
    named = {
        key for group in groups for key, value in group.items() if isinstance(value, float | int | tuple) and not isinstance(value, bool)
    }
    return named - {'initial_lr'}
