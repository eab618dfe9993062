"""Measures (``functional``), the metric over them (``metrics``) and the table of results (``table``)."""

from .metrics import STAGES, StageMetric
from .table import markdown_table, merge_tables, text_table, write_metrics

__all__ = ['STAGES', 'StageMetric', 'markdown_table', 'merge_tables', 'text_table', 'write_metrics']
