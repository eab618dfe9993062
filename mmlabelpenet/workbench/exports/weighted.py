"""Annotation weights for mmdet detectors with weighted heads, such as a plain Mask R-CNN."""

from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import PackDetInputs

from mmlabelpenet.registry import DATASETS, TRANSFORMS
from mmlabelpenet.schema import counted


@DATASETS.register_module()
class WeightedCocoDataset(CocoDataset):
    """mmdet's COCO data set with the ``weight`` of each annotation, 1 by default."""

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """One image with its instances."""
        info, instances = super().parse_data_info(raw_data_info | dict(raw_ann_info=[])), []
        for note in raw_data_info['raw_ann_info']:
            kept = super().parse_data_info(raw_data_info | dict(raw_ann_info=[note]))['instances']
            instances += [instance | dict(weight=self._weight(note)) for instance in kept]
        return info | dict(instances=instances)

    @staticmethod
    def _weight(note: dict[str, Any]) -> float:
        weight = note.get('weight', 1.0)
        if not 0 < weight <= 1:
            raise ValueError(f'Weights of annotations must be in (0, 1], got {weight} for annotation {note.get("id")}.')
        return float(weight)


@TRANSFORMS.register_module()
class PackWeightedInputs(PackDetInputs):
    """mmdet's ``PackDetInputs`` with ``weights`` float32 (K,) in ``gt_instances``, which weighted heads use.

    The pipeline must load annotations with mmlabelpenet's ``LoadAnnotations``, so that weights are assigned to the boxes left by a crop.
    """

    def transform(self, results: dict) -> dict:
        """Pack one result dict.

        Raises:
            ValueError: a transform has dropped boxes without updating weights.
        """
        if 'gt_instances_ids' not in results:
            raise ValueError("Weights need LoadAnnotations of mmlabelpenet: use type='mmlabelpenet.LoadAnnotations'.")
        numbers = results['gt_instances_ids']
        if len(numbers) != len(results['gt_bboxes']):
            boxes = counted(len(results['gt_bboxes']), 'box', 'has')
            raise ValueError(f'{boxes} {counted(len(numbers), "weight")}: only RandomCrop may drop boxes.')
        weights = np.array([instance['weight'] for instance in results['instances']], np.float32)[numbers]
        packed = super().transform(results)
        kept = np.flatnonzero(results['gt_ignore_flags'] == 0) if 'gt_ignore_flags' in results else slice(None)
        packed['data_samples'].gt_instances.weights = torch.from_numpy(weights[kept])
        return packed
