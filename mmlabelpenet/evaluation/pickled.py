"""Predictions in the format of mmdet's tools: a pickle with one dict per image and RLE masks."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.evaluation import DumpDetResults

LEFT_OUT = ('explanations', 'gt_image_labels', 'proposals', 'pseudo_instances', 'stage_predictions')


class DumpPredictions(DumpDetResults):
    """mmdet's ``DumpDetResults`` with only ``pred_instances`` and metainfo, so that the file is no larger than mmdet's.

    Args:
        out_file_path: must end with ``.pkl`` or ``.pickle``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Store the predictions of a batch without changing them for other metrics."""
        kept = [{key: value for key, value in sample.items() if key not in LEFT_OUT} for sample in data_samples]
        super().process(data_batch, [sample | dict(pred_instances=dict(sample['pred_instances'])) for sample in kept])
