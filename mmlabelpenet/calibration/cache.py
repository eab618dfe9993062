"""Reuse the labels of an image for several visits in recurrent fine-tuning (choice L10), because the CRF is slow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlabelpenet.structures import from_original, pseudo_instances, to_original


class LabelCache:
    """Labels by stage and image, in pixels of the original image.

    Args:
        refresh_interval: number of visits for which the labels of an image are used; 1 generates them every time.
    """

    def __init__(self, refresh_interval: int = 1) -> None:
        if refresh_interval < 1:
            raise ValueError(f'refresh_interval must be at least 1, got {refresh_interval}.')
        self.refresh_interval = refresh_interval
        self._labels: dict[tuple[str, str], tuple[InstanceData, int]] = {}

    def recall(self, stage: str, sample: DetDataSample) -> InstanceData | None:
        """Labels of an image in the frame of the network input, if they are to be reused; ``stage`` names the generating stage and the
        direction.
        """
        labels, left = self._labels.get((stage, sample.img_id), (None, 0))
        return from_original(labels, sample.metainfo) if left > 0 else None

    def keep(self, stage: str, sample: DetDataSample, pseudo: InstanceData) -> None:
        """Count a visit, with reused labels, or with ``pseudo``, the labels just generated."""
        key = (stage, sample.img_id)
        labels, left = self._labels.get(key, (None, 0))
        if left > 0:
            self._labels[key] = (labels, left - 1)
        elif self.refresh_interval > 1:
            self._labels[key] = (to_original(pseudo, sample.metainfo), self.refresh_interval - 1)

    def state_dict(self) -> list[dict[str, Any]]:
        """The content as numbers, strings and tensors, for a checkpoint."""
        return [
            dict(
                key=key,
                left=left,
                shape=labels.masks.masks.shape,
                masks=torch.from_numpy(np.packbits(labels.masks.masks)),
                **{name: labels[name].cpu() for name in ('bboxes', 'labels', 'weights')},
            )
            for key, (labels, left) in self._labels.items()
        ]

    def load_state_dict(self, state: Sequence[dict[str, Any]], device: torch.device | str = 'cpu') -> None:
        """Restore the content from :meth:`state_dict`."""
        self._labels = {}
        for item in state:
            masks = np.unpackbits(item['masks'].numpy(), count=int(np.prod(item['shape']))).reshape(item['shape'])
            labels = pseudo_instances(item['bboxes'], item['labels'], masks, item['weights']).to(device)
            self._labels[tuple(item['key'])] = (labels, item['left'])
