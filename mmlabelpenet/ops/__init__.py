"""Provide the kernels of ``mmcv.ops``: mmcv's compiled extension, or torchvision.

Many installations have mmcv without its compiled extension ``mmcv._ext``, and then ``mmcv.ops``, and with it mmdet, cannot be imported.
:func:`install` adds an import finder *behind* all others: a compiled extension is found first and used; without one, the finder returns a
stand-in whose functions call torchvision (:mod:`~mmlabelpenet.ops.torchvision_kernels`). It defines every name, so that all imports
succeed; unsupported functions raise ``NotImplementedError`` when called.

The stand-in's RoIPool is that of torchvision and of Fast R-CNN: the borders of a box are rounded to cells, both included. mmcv's own kernel
does not round. They agree if box borders are whole cells of a map of stride 1, and otherwise differ by up to a cell; the models of this
package therefore never use mmcv's (:mod:`~mmlabelpenet.ops.roi_pool`).

Import this package before ``mmcv.ops`` or ``mmdet.models``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

EXTENSION = 'mmcv._ext'
SERVED = (
    'nms',
    'softnms',
    'roi_align_forward',
    'roi_align_backward',
    'roi_pool_forward',
    'roi_pool_backward',
    'ms_deform_attn_forward',
    'ms_deform_attn_backward',
    'get_compiler_version',
    'get_compiling_cuda_version',
)
_logged: set[str] = set()


def install() -> None:
    """Let torchvision replace ``mmcv._ext`` if mmcv has no compiled extension.

    Costs nothing until ``mmcv.ops`` is imported, may be called repeatedly, and does not replace an existing extension.

    >>> install()
    >>> from mmcv.ops import nms
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def kernels() -> str:
    """One sentence that says which kernels ``mmcv.ops`` uses.

    >>> 'mmcv.ops' in kernels()
    True
    """
    spec = importlib.util.find_spec(EXTENSION)
    if spec is None:
        return f'mmcv.ops has no kernels: {EXTENSION} is missing and mmlabelpenet.ops.install() has not been called.'
    if isinstance(spec.loader, _Loader):
        import torchvision

        return (
            f'torchvision {torchvision.__version__} provides the kernels of mmcv.ops (NMS, soft-NMS, RoIAlign, RoIPool, deformable '
            'attention), since '
            "mmcv's compiled extension is missing; its other ops raise NotImplementedError."
        )
    return f"mmcv's compiled extension provides the kernels of mmcv.ops ({spec.origin})."


def log_kernels() -> None:
    """Write :func:`kernels` to the current log, once for each process."""
    from mmengine.logging import print_log

    message = kernels()
    if message not in _logged:
        _logged.add(message)
        print_log(message, logger='current')


class _Loader(Loader):
    """Creates the stand-in module."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name, __doc__)

    def exec_module(self, module: ModuleType) -> None:
        from . import torchvision_kernels

        for name in SERVED:
            setattr(module, name, getattr(torchvision_kernels, name))


class _Finder(MetaPathFinder):
    """Finds the stand-in, and nothing else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, _Loader(), origin='mmlabelpenet.ops')


class _StandIn(ModuleType):
    """A module that defines every name; unsupported functions fail when called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('__'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')

        def missing(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(
                f"The op {name!r} needs mmcv's compiled extension ({EXTENSION}), which is not installed. Without it only "
                f'{", ".join(SERVED[:-2])} are available (from torchvision). Build mmcv with its ops, or choose a model without {name!r}.'
            )

        missing.__name__ = name
        return missing
