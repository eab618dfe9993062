"""Pipeline transforms: proposals and weights are transformed with their boxes, and samples hold only permitted fields.

Shapes: R proposals, K pseudo instances, C classes, (h, w) network input. Boxes: float32 xyxy in pixels of the image at this step.
"""

import os

import numpy as np
import torch
from mmcv import transforms as mmcv_transforms
from mmcv.transforms import BaseTransform, to_tensor
from mmdet.datasets import transforms as mmdet_transforms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData, LabelData

from mmlabelpenet.formats.images import is_transparent, read_image
from mmlabelpenet.registry import TRANSFORMS
from mmlabelpenet.schema import check_range, counted
from mmlabelpenet.structures import clip_boxes, have_area, pseudo_instances


@TRANSFORMS.register_module()
class LoadImageFromFile(mmcv_transforms.LoadImageFromFile):
    """Like mmcv's, but transparent pixels are white, as for proposals and predictions, whatever their hidden colour."""

    def transform(self, results: dict) -> dict | None:
        """Put ``img`` (h, w, 3), BGR, and its size into one result dict."""
        loaded = super().transform(results)
        path = results['img_path']
        if loaded is not None and self.color_type == 'color' and os.path.isfile(path) and is_transparent(path):
            loaded['img'] = read_image(path).astype(loaded['img'].dtype)
        return loaded


@TRANSFORMS.register_module()
class LoadProposals(mmdet_transforms.LoadProposals):
    """Like mmdet's, but also accepts an image without proposals, as from mmdet's ``inference_detector``.

    ``proposals_missing`` is then set, and a stage that needs proposals raises an error.
    """

    def transform(self, results: dict) -> dict:
        """Put ``proposals`` float32 (R, 4) and ``proposals_scores`` float32 (R,) into one result dict."""
        if 'proposals' in results:
            return super().transform(results)
        return results | dict(proposals=np.zeros((0, 4), np.float32), proposals_scores=np.zeros(0, np.float32), proposals_missing=True)


@TRANSFORMS.register_module()
class LoadAnnotations(mmdet_transforms.LoadAnnotations):
    """Like mmdet's, but also numbers the instances in ``gt_instances_ids``, so that weights can be assigned to the boxes left by a crop."""

    def transform(self, results: dict) -> dict:
        """Load boxes, labels and masks of one result dict."""
        results = super().transform(results)
        return results | dict(gt_instances_ids=np.arange(len(results['gt_bboxes_labels']))) if self.with_label else results


@TRANSFORMS.register_module()
class ProposalBroadcaster(mmdet_transforms.ProposalBroadcaster):
    """Like mmdet's, but also drops the scores of proposals removed by a crop."""

    def _process_input(self, data: dict) -> list[dict]:
        rest = {key: value for key, value in data.items() if not key.startswith('gt_')}
        rest['img'] = data['img'].copy()
        boxes = data['proposals']
        boxes = boxes.clone() if isinstance(boxes, HorizontalBoxes) else boxes.copy()
        return [data, rest | dict(gt_bboxes=boxes, gt_bboxes_labels=np.arange(len(boxes)))]

    def _process_output(self, output_scatters: list) -> dict:
        outputs, moved = output_scatters
        scores = np.asarray(outputs['proposals_scores'])
        return outputs | dict(proposals=moved['gt_bboxes'], proposals_scores=scores[moved['gt_bboxes_labels']])


@TRANSFORMS.register_module()
class PackTagInputs(BaseTransform):
    """Pack image, tags, proposals and pseudo instances, and nothing else.

    Reads ``img``, ``tags``, ``num_classes``, ``proposals``, ``proposals_scores``, ``instances`` and, if pseudo labels were loaded,
    ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_masks``.

    Args:
        min_size: minimum side of a proposal in pixels of the network input; smaller ones are dropped.

    Returns:
        ``inputs`` uint8 (3, h, w) and ``data_samples`` with ``gt_image_labels.onehot`` float32 (C,), ``proposals`` (``bboxes``
        float32 (R, 4), ``scores`` float32 (R,)), unless the image has none, and ``pseudo_instances``; boxes in pixels of the
        network input.
    """

    META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')

    def __init__(self, min_size: float = 1.0) -> None:
        check_range(0, min_size=min_size)
        self.min_size = min_size

    def transform(self, results: dict) -> dict:
        """Pack one result dict."""
        if results['img'].ndim != 3:
            raise ValueError(f'Expected an image (h, w, 3), got an array of shape {results["img"].shape}.')
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        sample = DetDataSample(metainfo={key: results[key] for key in self.META if key in results})
        onehot = torch.zeros(results.get('num_classes', 0))
        onehot[results.get('tags', [])] = 1
        sample.gt_image_labels = LabelData(onehot=onehot)
        if not results.get('proposals_missing'):
            sample.proposals = self._proposals(results)
        sample.pseudo_instances = self._pseudo_instances(results)
        return dict(inputs=to_tensor(image), data_samples=sample)

    def _proposals(self, results: dict) -> InstanceData:
        size, expected = tuple(results['ori_shape'][:2]), results.get('proposal_image_size')
        if expected is not None and tuple(expected) != size:
            raise ValueError(
                f'Proposals of {results["img_id"]!r} were computed for an image of size {tuple(expected)} (h, w), but the image is {size}. '
                'Compute the proposals of this data set again.'
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
        kept = have_area(bboxes)  # resizing may have removed a thin box entirely
        weights = np.array([instance['weight'] for instance in results['instances']], np.float32)
        weights = weights[results['gt_instances_ids']] if 'gt_instances_ids' in results else weights
        if len(weights) != len(bboxes):
            raise ValueError(
                f'{counted(len(bboxes), "pseudo instance", "is", of=len(weights))} left after a transform that does not '
                'update their weights. '
                "Remove transforms that drop boxes; RandomCrop keeps the weights after LoadAnnotations of mmlabelpenet (without 'mmdet.')."
            )
        return pseudo_instances(
            bboxes[kept],
            torch.as_tensor(results['gt_bboxes_labels'])[kept],
            results['gt_masks'].masks.reshape(-1, *size)[kept.numpy()],
            torch.from_numpy(weights)[kept],
        )
