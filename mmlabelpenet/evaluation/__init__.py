"""Measures (``functional``), the metric over them (``metrics``) and the table of results (``table``).

Only ``metrics`` needs a framework; importing the others, or this package, loads NumPy and pycocotools at most.
"""

import importlib
from typing import Any

from .table import markdown_table, merge_tables, text_table, write_metrics

__all__ = ['markdown_table', 'merge_tables', 'text_table', 'write_metrics']

_LATER = {'StageMetric': 'metrics', 'DumpPredictions': 'pickled'}


def __getattr__(name: str) -> Any:
    """A metric, imported when it is asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f'.{_LATER[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
