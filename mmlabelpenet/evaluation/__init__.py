"""Measures (``functional``), the metric over them (``metrics``) and the table of results (``table``).

Only ``metrics`` needs a framework; importing the others, or this package, loads NumPy and pycocotools at most.
"""

from .table import markdown_table, merge_tables, text_table, write_metrics

__all__ = ['markdown_table', 'merge_tables', 'text_table', 'write_metrics']
