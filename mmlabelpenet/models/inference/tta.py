"""Test-time augmentation: several views of an image, merged before suppression (row L11).

Every view scores the same proposals, so that scores and boxes can be averaged proposal by proposal and one suppression follows. Masks of
the detections are averaged over the views as well, and refined once:

    proposals   selective search's, or those of the RPN in all views, suppressed together
    scores      mean of (R, C) over the views; boxes: mean of (R, C, 4)
    masks       mean of a mask head's probabilities on the RoI grid, or of the attention maps in the image

All that is merged lies in the frame of the first view, which is upright. One stage follows the other, and each merges for itself.

Shapes: N images, R proposals of one image, C classes, n detections, (h, w) first view.
Boxes: float32 xyxy in pixels of the network input of a view.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.layers import multiclass_nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.attention import class_attention
from mmlabelpenet.calibration.attention_generator import AttentionGenerator
from mmlabelpenet.calibration.belief import find_proposals, head_masks, read_candidates
from mmlabelpenet.models.inference.mask_refinement import rescale_results, supported_objects
from mmlabelpenet.models.label_penet import LabelPENet, add_predictions
from mmlabelpenet.registry import MODELS
from mmlabelpenet.structures import upright_boxes


class View(NamedTuple):
    """A batch seen in one way: ``feature`` is the map, float (N, D, H/s, W/s), of the backbone, or the maps of a stage's tail."""

    feature: Any
    samples: list[DetDataSample]


@MODELS.register_module()
class LabelPENetTTA(BaseTTAModel):
    """:class:`LabelPENet` on the views that mmcv's ``TestTimeAug`` makes of each image.

    mmdet's ``DetTTAModel`` merges what is left after suppression and takes no masks; hence a model of our own.

    Args:
        module: the network, or its config.
        data_preprocessor: config that replaces the network's.
    """

    module: LabelPENet

    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Predict a batch.

        Args:
            data: ``inputs`` and ``data_samples``, a list of views of a list of images each.

        Returns:
            the samples of the first view with ``stage_predictions`` and ``pred_instances``, as :meth:`LabelPENet.predict` gives them.

        Raises:
            ValueError: the first view is mirrored.
        """
        views, images = [], []
        for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True):
            batch = self.module.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
            views.append(View(self.module.extract_feat(batch['inputs']), batch['data_samples']))
            images = images or self.module.data_preprocessor.images(batch['inputs'], batch['data_samples'])
        return self.merge_preds(views, images)

    def merge_preds(self, views: Sequence[View], images: Sequence[np.ndarray]) -> list[DetDataSample]:
        """Predictions of all views as one.

        Args:
            views: the first of which is upright.
            images: RGB uint8 (h, w, 3) of the first view.
        """
        samples = views[0].samples
        if any(sample.get('flip', False) for sample in samples):
            raise ValueError('The first view is mirrored. Merged boxes and masks lie in its frame: put an upright one first.')
        found = {name: rescale_results(self.predict_stage(name, views, images), samples) for name in self.module.predicted}
        return add_predictions(samples, self.module.weigh(found, *views))

    def predict_stage(self, name: str, views: Sequence[View], images: Sequence[np.ndarray]) -> list[InstanceData]:
        """Detections of one stage in the frame of the first view, with masks where it has them and they are asked for."""
        stage, samples = self.module.stages[name], views[0].samples
        views = [View(stage.extract_feat(view.feature), view.samples) for view in views]
        generator = self.module.generators.get(name) if self.module.with_masks and not stage.with_mask else None
        candidates = view_candidates(stage, generator, views)
        merged = [merge_candidates(found, [view.samples[i] for view in views]) for i, found in enumerate(zip(*candidates, strict=True))]
        results = [suppress(found, stage.roi_head.test_cfg) for found in merged]
        if self.module.with_masks and stage.with_mask:
            soft = merged_head_masks(stage, views, results)
        elif generator is not None:
            best = [found[: self.module.refinement.max_masks] for found in results]
            soft = merged_attention(stage, generator, views, candidates, merged, best)
            soft = [np.pad(maps, ((0, len(found) - len(maps)), (0, 0), (0, 0))) for maps, found in zip(soft, results, strict=True)]
        else:
            return results
        soft = [maps[:, : sample.img_shape[0], : sample.img_shape[1]] for maps, sample in zip(soft, samples, strict=True)]
        return [self.module.refinement(image, found, maps) for found, image, maps in zip(results, images, soft, strict=True)]


def move_boxes(bboxes: Tensor, source: DetDataSample, target: DetDataSample) -> Tensor:
    """Boxes (..., 4) of one view's frame in another's.

    >>> first = DetDataSample(metainfo=dict(scale_factor=(1.0, 1.0), img_shape=(6, 10)))
    >>> second = DetDataSample(metainfo=dict(scale_factor=(2.0, 2.0), img_shape=(12, 20), flip=True, flip_direction='horizontal'))
    >>> move_boxes(torch.tensor([[1.0, 2, 4, 5]]), first, second).tolist()
    [[12.0, 4.0, 18.0, 10.0]]
    """
    ratio = bboxes.new_tensor(target.scale_factor) / bboxes.new_tensor(source.scale_factor)
    return upright_boxes(upright_boxes(bboxes, source.metainfo) * ratio.repeat(2), target.metainfo)


def merge_proposals(stage: TwoStageDetector, views: Sequence[View]) -> list[InstanceData]:
    """Proposals per image in the frame of the first view: those of the RPN in every view, suppressed together as one view's are.

    A stage without RPN has the proposals of the samples of the first view.
    """
    found = [find_proposals(stage, view.feature, view.samples) for view in (views if stage.with_rpn else views[:1])]
    if not stage.with_rpn:
        return found[0]
    cfg, merged = stage.rpn_head.test_cfg, []
    for index, proposals in enumerate(zip(*found, strict=True)):
        samples = [view.samples[index] for view in views]
        bboxes = torch.cat([move_boxes(each.bboxes, sample, samples[0]) for each, sample in zip(proposals, samples, strict=True)])
        scores = torch.cat([each.scores for each in proposals])
        best, kept = batched_nms(bboxes, scores, torch.zeros_like(scores, dtype=torch.long), cfg.nms)
        kept = kept[: cfg.max_per_img]
        merged.append(InstanceData(bboxes=bboxes[kept], scores=best[: len(kept), 4]))
    return merged


def view_candidates(stage: TwoStageDetector, generator: AttentionGenerator | None, views: Sequence[View]) -> list[list[InstanceData]]:
    """What each view thinks of the merged proposals, in its own frame; with activations where masks come from a calibration."""
    proposals, reference = merge_proposals(stage, views), views[0].samples
    read = read_candidates if generator is None else generator.candidates
    found = []
    for view in views:
        moved = [
            InstanceData(bboxes=move_boxes(each.bboxes, first, sample))
            for each, first, sample in zip(proposals, reference, view.samples, strict=True)
        ]
        found.append(read(stage, view.feature, view.samples, moved))
    return found


def merge_candidates(candidates: Sequence[InstanceData], samples: Sequence[DetDataSample]) -> InstanceData:
    """Mean of one image's candidates over its views, in the frame of the first: ``bboxes`` (R, C, 4), ``scores`` (R, C)."""
    bboxes = [move_boxes(each.bboxes, sample, samples[0]) for each, sample in zip(candidates, samples, strict=True)]
    scores = torch.stack([each.scores for each in candidates]).mean(0)
    return InstanceData(bboxes=torch.stack(bboxes).mean(0), scores=scores)


def suppress(candidates: InstanceData, cfg: dict) -> InstanceData:
    """Detections, best first: suppression per class, as mmdet's box heads do it; ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,)."""
    if len(candidates) == 0:
        bboxes, scores = candidates.bboxes.new_zeros(0, 4), candidates.scores.new_zeros(0)
        return InstanceData(bboxes=bboxes, scores=scores, labels=scores.long())
    kept, labels = multiclass_nms(candidates.bboxes.flatten(1), F.pad(candidates.scores, (0, 1)), cfg.score_thr, cfg.nms, cfg.max_per_img)
    return InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)


def merged_head_masks(stage: TwoStageDetector, views: Sequence[View], results: Sequence[InstanceData]) -> list[np.ndarray]:
    """Soft masks (n, h, w) of the mask head per image: mean over the views on the RoI grid, pasted once."""
    reference, head, extractor = views[0].samples, stage.roi_head.mask_head, stage.roi_head.mask_roi_extractor
    sizes, grids = [len(found) for found in results], []
    for view in views:
        boxes = [move_boxes(r.bboxes, first, sample) for r, first, sample in zip(results, reference, view.samples, strict=True)]
        logits = head(extractor(tuple(view.feature[: extractor.num_inputs]), bbox2roi(boxes))).sigmoid()
        parts = zip(logits.split(sizes), view.samples, strict=True)
        grids.append(torch.cat([part.flip(-1) if sample.get('flip', False) else part for part, sample in parts]))
    mean = torch.stack(grids).mean(0).cpu().numpy()
    pasted = head.predict_by_feat(
        mask_preds=np.split(mean, np.cumsum(sizes)[:-1]),
        results_list=[InstanceData(bboxes=r.bboxes, scores=r.scores, labels=r.labels) for r in results],
        batch_img_metas=[sample.metainfo for sample in reference],
        rcnn_test_cfg=stage.roi_head.test_cfg,
        rescale=False,
        activate_map=True,  # these are probabilities
    )
    return [head_masks(found, sample.img_shape[:2]) for found, sample in zip(pasted, reference, strict=True)]


def merged_attention(
    stage: TwoStageDetector,
    generator: AttentionGenerator,
    views: Sequence[View],
    candidates: Sequence[Sequence[InstanceData]],
    merged: Sequence[InstanceData],
    results: Sequence[InstanceData],
) -> list[np.ndarray]:
    """Attention maps (n, h, w) in [0, 1] of detections per image: mean over the views of what the same proposals look at."""
    soft = []
    for index, found in enumerate(results):
        objects, total = supported_objects(generator, merged[index], found), 0
        size = views[0].samples[index].img_shape[:2]
        for view, beliefs in zip(views, candidates, strict=True):
            sample, x = view.samples[index], [level[index : index + 1] for level in view.feature]
            maps, _ = generator.attention_maps(stage, x, beliefs[index], objects, sample.img_shape[:2])
            total = total + upright_maps(maps, sample, size) / len(views)
        soft.append(class_attention(total, generator.peak)[1:].cpu().numpy())
    return soft


def upright_maps(maps: Tensor, sample: DetDataSample, size: tuple[int, int]) -> Tensor:
    """Maps (n, h', w') of a view, without its flip and at the size (h, w) of the first view."""
    maps = maps.flip(-1) if sample.get('flip', False) else maps
    if len(maps) == 0 or tuple(maps.shape[1:]) == tuple(size):
        return maps.new_zeros(0, *size) if len(maps) == 0 else maps
    return F.interpolate(maps[None], size, mode='bilinear', antialias=True)[0]
