"""The counterpart of ``mmdet.utils``."""

import importlib

from mmengine.registry import init_default_scope as use_scope

from mmlabelpenet.registry import DATA_SAMPLERS, DATASETS, HOOKS, LABEL_GENERATORS, LOOPS, METRICS, MODELS, TRANSFORMS


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register all modules of mmlabelpenet and mmdet, for scripts that build objects without a config.

    Args:
        init_default_scope: whether to make mmlabelpenet the default scope.

    >>> register_all_modules()
    >>> MODELS.get('LabelPENet').__name__
    'LabelPENet'
    """
    importlib.import_module('mmdet.utils').register_all_modules(init_default_scope=False)
    for registry in (DATA_SAMPLERS, DATASETS, HOOKS, LABEL_GENERATORS, LOOPS, METRICS, MODELS, TRANSFORMS):
        registry.import_from_location()
    if init_default_scope:
        use_scope('mmlabelpenet')
