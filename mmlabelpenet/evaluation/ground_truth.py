"""Replacements for mmdet metrics that need ground truth in samples, which a data set with tags does not have: their errors name
alternatives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.evaluation import metrics as mmdet_metrics

from mmlabelpenet.registry import METRICS

KINDS = ('CocoMetric', 'CocoFasterMetric', 'LVISMetric', 'VOCMetric')


def refusal(kind: str) -> str:
    """The reason why one of :data:`KINDS` does not work with tags, and its alternative."""
    return (
        f'{kind} reads ground truth from samples, which a data set with tags does not have. StageMetric computes the metrics of VOCMetric '
        'for each stage; for other programs, write COCO-format results with tools/test.py --dump FILE.json.'
    )


@METRICS.register_module()
class VOCMetric(mmdet_metrics.VOCMetric):
    """mmdet's metric. If samples have no ground truth, raises ValueError naming the alternative."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Process a batch of predictions."""
        if any('gt_instances' not in sample for sample in data_samples):
            raise ValueError(refusal('VOCMetric'))
        super().process(data_batch, data_samples)


@METRICS.register_module()
class CocoMetric(mmdet_metrics.CocoMetric):
    """mmdet's metric. If samples have no ground truth and there is no ``ann_file``, raises ValueError naming the alternative."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Process a batch of predictions."""
        if self._coco_api is None and any('instances' not in sample for sample in data_samples):
            raise ValueError(refusal('CocoMetric'))
        super().process(data_batch, data_samples)
