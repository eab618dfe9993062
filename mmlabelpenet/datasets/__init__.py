"""Everything that training reads: images with tags, proposals, pseudo labels.

Data sets and transforms are imported lazily, because the converters do not need PyTorch.
"""

import importlib
from typing import Any

_LATER = {
    'VOCTags': 'voc_tags',
    'ClassBalancedDataset': 'wrappers',
    'ConcatDataset': 'wrappers',
    'RepeatDataset': 'wrappers',
    'PackTagInputs': 'transforms',
    'ResumableSampler': 'samplers',
}


def __getattr__(name: str) -> Any:
    """Import a data set, transform or sampler lazily."""
    if name in _LATER:
        return getattr(importlib.import_module(f'.{_LATER[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
