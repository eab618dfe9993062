"""The last step of every pipeline: what a sample may hold."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform, to_tensor
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, LabelData

from mmlabelpenet.registry import TRANSFORMS
from mmlabelpenet.structures import clip_boxes, have_area, pseudo_instances


@TRANSFORMS.register_module()
class PackTagInputs(BaseTransform):
    """Pack image, tags, proposals and pseudo instances; nothing else passes.

    Reads ``img``, ``tags``, ``num_classes``, ``proposals``, ``proposals_scores``, ``instances`` and, where pseudo labels were loaded,
    ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_masks``.

    Args:
        min_size: proposals with a side below this many pixels of the network input are dropped.

    Returns:
        ``inputs`` uint8 (3, h, w) and ``data_samples`` with ``gt_image_labels.onehot`` float32 (C,), ``proposals`` (``bboxes``
        float32 (R, 4), ``scores`` float32 (R,)) and ``pseudo_instances``; boxes in pixels of the network input.
    """

    META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')

    def __init__(self, min_size: float = 1.0) -> None:
        self.min_size = min_size

    def transform(self, results: dict) -> dict:
        """Pack one result dict."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        sample = DetDataSample(metainfo={key: results[key] for key in self.META if key in results})
        sample.gt_image_labels = LabelData(onehot=self._onehot(results['tags'], results['num_classes']))
        sample.proposals = self._proposals(results)
        sample.pseudo_instances = self._pseudo_instances(results)
        return dict(inputs=to_tensor(image), data_samples=sample)

    @staticmethod
    def _onehot(tags: list[int], num_classes: int) -> torch.Tensor:
        onehot = torch.zeros(num_classes)
        onehot[tags] = 1
        return onehot

    def _proposals(self, results: dict) -> InstanceData:
        size, expected = tuple(results['ori_shape'][:2]), results.get('proposal_image_size')
        if expected is not None and tuple(expected) != size:
            raise ValueError(
                f'Proposals of {results["img_id"]!r} were made for an image of size {tuple(expected)} (h, w), the image is {size}. '
                'Make the proposals of this data set again.'
            )
        bboxes = torch.as_tensor(getattr(results['proposals'], 'tensor', results['proposals']), dtype=torch.float32).reshape(-1, 4)
        scores = torch.as_tensor(np.asarray(results['proposals_scores']), dtype=torch.float32)
        large = (bboxes[:, 2:] - bboxes[:, :2]).amin(1) >= self.min_size if len(bboxes) else torch.zeros(0, dtype=torch.bool)
        return InstanceData(bboxes=bboxes[large], scores=scores[large])

    @staticmethod
    def _pseudo_instances(results: dict) -> InstanceData:
        size = results['img'].shape[:2]
        if 'gt_bboxes' not in results:
            return pseudo_instances(torch.zeros(0, 4), torch.zeros(0).long(), np.zeros((0, *size)), torch.zeros(0))
        bboxes = clip_boxes(results['gt_bboxes'].tensor, size)
        kept = have_area(bboxes)  # resizing may have taken the last of a thin box
        return pseudo_instances(
            bboxes[kept],
            torch.as_tensor(results['gt_bboxes_labels'])[kept],
            results['gt_masks'].masks.reshape(-1, *size)[kept.numpy()],
            torch.tensor([instance['weight'] for instance in results['instances']])[kept],
        )
