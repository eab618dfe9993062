"""Mixed precision on CPU and GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmlabelpenet.registry import OPTIM_WRAPPERS

DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class MixedPrecisionWrapper(AmpOptimWrapper):
    """Mixed precision like mmengine's wrapper, which supports only CUDA, but also on the CPU.

    Weights and updates stay float32. float16 uses a loss scale: an update whose gradient overflows is skipped and the scale is lowered.

    Args:
        dtype: ``'bf16'`` or ``'fp16'``, for matrix products and convolutions.
        **kwargs: as for mmengine's ``OptimWrapper``.
    """

    def __init__(self, dtype: str = 'bf16', **kwargs) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be 'bf16' or 'fp16', got {dtype!r}.")
        OptimWrapper.__init__(self, **kwargs)  # AmpOptimWrapper's own method does not run without CUDA
        self.device_type, self.cast_dtype = get_device(), DTYPES[dtype]
        self.loss_scaler = torch.amp.GradScaler(self.device_type, enabled=dtype == 'fp16')
        self._scale_update_param = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast inside, and skip synchronisation while gradients accumulate."""
        with OptimWrapper.optim_context(self, model), torch.autocast(self.device_type, self.cast_dtype):
            yield

    def load_state_dict(self, state_dict: dict) -> None:
        """Resume a run of any precision; one in ``'bf16'`` has no loss scale to restore."""
        if not state_dict.get('loss_scaler', True):
            state_dict.pop('loss_scaler')
        super().load_state_dict(state_dict)
