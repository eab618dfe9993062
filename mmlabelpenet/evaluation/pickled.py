"""Predictions as mmdet's tools write and read them: a pickle of one dict per image, masks as run-length codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.evaluation import DumpDetResults

LEFT_OUT = ('explanations', 'gt_image_labels', 'proposals', 'pseudo_instances', 'stage_predictions')


class DumpPredictions(DumpDetResults):
    """mmdet's ``DumpDetResults`` of ``pred_instances`` and metainfo alone, so that the file is no larger than mmdet's.

    Args:
        out_file_path: ends with ``.pkl`` or ``.pickle``.
    """

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the predictions of a batch; other metrics still find theirs as they are."""
        kept = [{key: value for key, value in sample.items() if key not in LEFT_OUT} for sample in data_samples]
        super().process(data_batch, [sample | dict(pred_instances=dict(sample['pred_instances'])) for sample in kept])
