"""mmdet's metrics that read the ground truth of the samples, which a data set with tags does not have: they say what to use instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.evaluation import metrics as mmdet_metrics

from mmlabelpenet.registry import METRICS

KINDS = ('CocoMetric', 'CocoFasterMetric', 'LVISMetric', 'VOCMetric')


def refusal(kind: str) -> str:
    """Why one of :data:`KINDS` cannot score a data set with tags, and what does."""
    return (
        f'{kind} reads the ground truth of the samples, and a data set with tags has none. StageMetric measures what VOCMetric does, for '
        'each stage; for other programs write COCO-format results with tools/test.py --dump FILE.json.'
    )


@METRICS.register_module()
class VOCMetric(mmdet_metrics.VOCMetric):
    """mmdet's metric. Where samples have no ground truth, a ValueError says what to use instead."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch of predictions."""
        if any('gt_instances' not in sample for sample in data_samples):
            raise ValueError(refusal('VOCMetric'))
        super().process(data_batch, data_samples)


@METRICS.register_module()
class CocoMetric(mmdet_metrics.CocoMetric):
    """mmdet's metric. Where samples have no ground truth and there is no ``ann_file``, a ValueError says what to use instead."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch of predictions."""
        if self._coco_api is None and any('instances' not in sample for sample in data_samples):
            raise ValueError(refusal('CocoMetric'))
        super().process(data_batch, data_samples)
