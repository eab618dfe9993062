"""Access the metrics in an evaluator config, which is a metric, a list of metrics, or an ``Evaluator`` with ``metrics``."""

from collections.abc import Mapping, Sequence
from typing import Any


def metric_list(evaluator: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All metrics of an evaluator."""
    metrics = evaluator.get('metrics', evaluator) if isinstance(evaluator, Mapping) else evaluator
    return [metrics] if isinstance(metrics, Mapping) else list(metrics)


def stage_metric(evaluator: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The ``StageMetric`` of an evaluator.

    Args:
        evaluator: a metric, a list of metrics, or an ``Evaluator`` with ``metrics``, as accepted by mmengine's runner.

    Returns:
        The dict of the metric itself; changing it changes the evaluator.

    Raises:
        ValueError: no ``StageMetric``, or more than one.

    >>> stage_metric([dict(type='mmdet.VOCMetric'), dict(type='StageMetric', split='val')])['split']
    'val'
    """
    metrics = metric_list(evaluator)
    found = [metric for metric in metrics if str(metric.get('type')).rpartition('.')[2] == 'StageMetric']
    if len(found) != 1:
        kinds = ', '.join(str(metric.get('type')) for metric in metrics) or 'none'
        raise ValueError(f"An evaluator needs one metric with type='StageMetric', got the metrics {kinds}.")
    return found[0]
