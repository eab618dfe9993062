"""Initial weights of a stage, taken from another stage of the run or of a checkpoint (``Phase.warm_start``)."""

from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmlabelpenet.schema import counted
from mmlabelpenet.tensor_files import read_tensors


def last_stage(checkpoint: str) -> dict[str, Tensor]:
    """Tensors of the last stage in a checkpoint, by name within the stage.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint, or has no stages.
    """
    content = read_tensors(checkpoint)
    state = content.get('state_dict', content) if isinstance(content, dict) else {}
    stages = [key.split('.', 2)[:2] for key in state if isinstance(key, str) and key.count('.') > 1 and key.startswith('stages.')]
    if not stages:
        raise ValueError(f'warm_start: {checkpoint} has no stages. Expected a checkpoint of this package.')
    prefix = '.'.join(stages[-1]) + '.'
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix) and isinstance(value, Tensor)}


def take_weights(stage: nn.Module, weights: Mapping[str, Tensor], num_classes: int, source: str) -> None:
    """Copy the tensors of :func:`fitting_weights`, which has the same arguments, into a stage.

    >>> head = nn.ModuleDict(dict(fc_cls=nn.Linear(1, 3), fc_reg=nn.Linear(1, 4)))  # 2 classes and the background
    >>> old = dict(fc_cls=nn.Linear(1, 5), fc_reg=nn.Linear(1, 4))  # 4 classes
    >>> weights = {f'{name}.weight': torch.arange(len(layer.weight))[:, None].float() for name, layer in old.items()}
    >>> take_weights(head, weights, 2, 'a doctest')
    >>> head.fc_cls.weight.flatten().tolist(), head.fc_reg.weight.flatten().tolist()
    ([1.5, 1.5, 4.0], [0.0, 1.0, 2.0, 3.0])
    """
    taken = fitting_weights(stage, weights, num_classes, source)
    stage.load_state_dict(taken, strict=False)
    print_log(f'{counted(len(taken), "tensor", "is", of=len(stage.state_dict()))} initialised from {source}.', 'current')


def fitting_weights(stage: nn.Module, weights: Mapping[str, Tensor], num_classes: int, source: str) -> dict[str, Tensor]:
    """Tensors for a stage, without frozen parameters and tensors that have no counterpart of the same name and shape.

    Layers of one row per class get the mean of the rows if the number of classes differs: every class begins as an object of any class.

    Args:
        stage: with ``num_classes`` classes.
        weights: by name.
        source: where they come from, for messages.

    Raises:
        ValueError: no tensor matches.
    """
    own = stage.state_dict()
    frozen = {name for name, value in stage.named_parameters() if not value.requires_grad}
    fitting = {name: fit_rows(value, own[name], num_classes) for name, value in weights.items() if name in own.keys() - frozen}
    taken = {name: value for name, value in fitting.items() if value.shape == own[name].shape}
    if not taken:
        raise ValueError(f'warm_start: no tensor of {source} has the name and shape of one of the stage. Remove it, or use the same model.')
    return taken


def fit_rows(value: Tensor, own: Tensor, num_classes: int) -> Tensor:
    """Rows of a layer for another number of classes: the mean over its classes for each, and the last row if it is the background's.

    Returns ``value`` itself where this does not apply.
    """
    background = len(own) - num_classes if own.ndim else -1
    if value.shape == own.shape or value.ndim == 0 or value.shape[1:] != own.shape[1:] or background not in (0, 1) or len(value) < 2:
        return value
    classes = value[: len(value) - background].float().mean(0, keepdim=True)
    return torch.cat([classes.expand(num_classes, *classes.shape[1:]), value[len(value) - background :].float()])
