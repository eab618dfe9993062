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
    """mmengine's wrapper, which runs on CUDA alone, for the CPU too.

    Weights and updates stay float32. float16 has a loss scale: an update whose gradient overflows is left out and the scale lowered.

    Args:
        dtype: ``'bf16'`` or ``'fp16'``, of matrix products and convolutions.
        **kwargs: of mmengine's ``OptimWrapper``.
    """

    def __init__(self, dtype: str = 'bf16', **kwargs) -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be 'bf16' or 'fp16', got {dtype!r}.")
        OptimWrapper.__init__(self, **kwargs)  # AmpOptimWrapper's own refuses to run without CUDA
        self.device_type, self.cast_dtype = get_device(), DTYPES[dtype]
        self.loss_scaler = torch.amp.GradScaler(self.device_type, enabled=dtype == 'fp16')
        self._scale_update_param = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Cast within, and leave out synchronisation where gradients accumulate."""
        with OptimWrapper.optim_context(self, model), torch.autocast(self.device_type, self.cast_dtype):
            yield

    def load_state_dict(self, state_dict: dict) -> None:
        """Continue a run of any precision; one in ``'bf16'`` has no loss scale to continue with."""
        if not state_dict.get('loss_scaler', True):
            state_dict.pop('loss_scaler')
        super().load_state_dict(state_dict)
