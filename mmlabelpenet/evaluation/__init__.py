"""Metric functions (``functional``), the mmengine metric (``metrics``) and the table of results (``table``).

Only ``metrics`` needs a framework; importing the others, or this package, loads at most NumPy and pycocotools.
"""

import importlib
from typing import Any

from .table import markdown_table, merge_tables, text_table, write_metrics

__all__ = ['markdown_table', 'merge_tables', 'text_table', 'write_metrics']

_LATER = {'StageMetric': 'metrics', 'DumpPredictions': 'pickled'}


def __getattr__(name: str) -> Any:
    """Import a metric lazily."""
    if name in _LATER:
        return getattr(importlib.import_module(f'.{_LATER[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
