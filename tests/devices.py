"""Devices that tests compare with the CPU: a GPU, the CPU itself, and a simulated device.

Tensors of the simulated device are on the CPU, but report another device and reject operations with CPU tensors, as on a GPU; only
zero-dimensional tensors, indices and copies may mix devices. Kernels are those of the CPU. So tests without a GPU still detect tensors
created on the wrong device, and arrays made from tensors without a copy to the CPU.
"""

from contextlib import contextmanager
from typing import Union, get_args
from unittest.mock import patch

import pytest
import torch
import toy
from mmengine.structures import instance_data
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from mmlabelpenet.workbench.experiments.memory import synthetic_batch

PRETENDED = 'meta'  # the only other device in every build of PyTorch
GPU = pytest.param('cuda', marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')])
INDEXING = ('aten::index', 'aten::index_put', 'aten::index_put_', 'aten::_index_put_impl_')  # indices may be on the CPU
COPYING = ('aten::_to_copy', 'aten::copy_')

elsewhere = pytest.mark.parametrize('device', [PRETENDED, GPU], indirect=True)
in_its_place = pytest.mark.parametrize('device', ['cpu', GPU], indirect=True)


class Elsewhere(torch.Tensor):
    """A tensor of the simulated device; ``here`` is the same tensor on the CPU."""

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device=PRETENDED
        )
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self):
        return f'Elsewhere({self.here})'

    def __deepcopy__(self, memo):
        return Elsewhere(self.here.clone()).requires_grad_(self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {})


class _Calls(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return call(function, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What makes tensors on the CPU, or lists of tensors, before any call can be seen."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and str(kwargs.get('device')) == PRETENDED:
            return function(*args, **kwargs | dict(device='cpu')).to(PRETENDED)
        if function is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return args[0].here.new_tensor(*args[1:], **kwargs).to(PRETENDED)
        if function is torch.Tensor.tolist:
            return here(args[0]).tolist()
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(
                torch.tensor(part, dtype=None if part else torch.long) if isinstance(part, list | range) else part for part in index
            )
            return function(args[0], index, *args[2:])
        return function(*args, **kwargs)


@contextmanager
def pretended():
    """Enable the simulated device."""
    known = Union[(*get_args(instance_data.IndexType), Elsewhere)]  # noqa: UP007
    with patch.object(instance_data, 'IndexType', known), _Functions(), _Calls():
        yield


def call(function, args, kwargs):
    """Call a CPU kernel.

    Raises:
        RuntimeError: tensors are on different devices.
    """
    name, device = function._schema.name, kwargs.get('device')
    meeting = (
        args[:1] if name in COPYING else (args[0], *args[2:3]) if name in INDEXING and isinstance(args[0], Elsewhere) else (args, kwargs)
    )
    tensors = [each for each in tree_leaves(meeting) if isinstance(each, torch.Tensor)]
    far = [isinstance(each, Elsewhere) for each in tensors]
    if any(far) and any(each.dim() for each, away in zip(tensors, far, strict=True) if not away):
        raise RuntimeError(f'{name} got tensors of two devices, of shapes {[tuple(each.shape) for each in tensors]}.')
    found = function(*here(args), **here(kwargs) | ({} if device is None else dict(device='cpu')))
    first = function._schema.arguments[0].alias_info
    if 'out' in kwargs or (first is not None and first.is_write):
        return kwargs.get('out', found if found is None else args[0])
    stays = any(far) if device is None else str(device) == PRETENDED
    return tree_map_only(torch.Tensor, Elsewhere, found) if stays else found


def here(values):
    """Replace tensors of the simulated device with the underlying CPU tensors."""
    return tree_map_only(Elsewhere, lambda each: each.here, values)


def network(device):
    """The toy network on a device; its weights are always the same."""
    return toy.build(toy.model_config()).to(device)


def noise(model):
    """Two noise images with proposals and pseudo instances, on the model's device; always the same."""
    torch.manual_seed(0)
    return model.data_preprocessor(synthetic_batch(4, (toy.HEIGHT, toy.WIDTH), 30, 2), False)


def losses(model, trains):
    """The losses of a model on :func:`noise`, by name."""
    data = noise(model)
    found = model.train().loss(data['inputs'], data['data_samples'], trains=trains)
    return {name: sum(value) if isinstance(value, list) else value for name, value in found.items() if 'loss' in name}
