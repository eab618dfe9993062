"""Predict the detections of stages for one image; used by testing, pages and exports.

Shapes: n detections, (h, w) image. Boxes: float32 xyxy in pixels of the network input unless ``rescale=True``.
"""

from collections.abc import Mapping, Sequence

import torch
from mmdet.structures import DetDataSample
from numpy import uint8
from numpy.typing import NDArray

from mmlabelpenet.models.inference.joint import JointReader
from mmlabelpenet.models.inference.masks import MaskRefinement, rescale_result
from mmlabelpenet.models.inference.views import View
from mmlabelpenet.models.stage import Choice, Stage


class Inference:
    """Runs each stage once on an image, and converts the readings into results.

    Args:
        reader: reads the stages of the model.
        stages: stages that predict, the last of which gives the result; None is the last of the model.
        with_masks: False predicts only boxes, as detected, which is faster.
        image_evidence: whether image-level class scores, from the stage that learns from tags, weight the detections of all other stages,
            see :meth:`~mmlabelpenet.models.mil_head.MILRoIHead.image_evidence`.
        **refinement: settings of :class:`MaskRefinement`.
    """

    def __init__(
        self,
        reader: JointReader,
        stages: Sequence[str] | None = None,
        with_masks: bool = True,
        image_evidence: bool = False,
        **refinement,
    ) -> None:
        self.reader, self.with_masks, self.image_evidence = reader, with_masks, image_evidence
        self.stages = check_names(list(reader.stages)[-1:] if stages is None else stages, reader.stages)
        tag_stages = [stage for stage in reader.stages.values() if stage.learns_from_tags]
        if image_evidence and not tag_stages:
            raise ValueError("test_cfg.image_evidence needs a stage that learns from tags (learns_from='tags'); the model has none.")
        self.tag_stage = tag_stages[0] if image_evidence or reader.map_stage is not None else None
        self.refinement = MaskRefinement(**refinement)

    @torch.no_grad()
    def __call__(
        self,
        views: Sequence[View],
        image: NDArray[uint8],
        rescale: bool = True,
        stages: Sequence[str] | None = None,
        with_masks: bool | None = None,
        explain: bool = False,
        choose: Choice | None = None,
    ) -> DetDataSample:
        """Predict one image: the sample of the first view with ``stage_predictions`` and ``pred_instances``, those of the last stage.

        Predictions are InstanceData with ``bboxes``, ``scores``, ``labels`` and, on the CPU, ``masks`` bool (n, h, w).

        Args:
            views: views of the image; several for test-time augmentation.
            image: RGB uint8 (h, w, 3) of the first view.
            rescale: whether results are in pixels of the original image.
            stages, with_masks: override the configured ones.
            explain: also add ``explanations``, by name of the stages with label generators.
            choose: selects detections of a stage by score before masks are computed; None keeps all.
        """
        all_stages = self.reader.stages
        names = self.stages if stages is None else check_names(stages, all_stages)
        refinement = self.refinement if (self.with_masks if with_masks is None else with_masks) else None
        evidence = None if self.tag_stage is None else self.tag_stage.evidence(views)
        readings = {name: self.reader.read(name, views, evidence) for name in names}
        weights = {name: evidence if self.image_evidence and all_stages[name] is not self.tag_stage else None for name in names}
        found = {name: all_stages[name].predict(readings[name], image, refinement, weights[name], choose) for name in names}
        sample = views[0].sample
        if rescale:
            found = {name: rescale_result(each, sample) for name, each in found.items()}
        for each in found.values():
            if 'masks' in each:
                each.masks = torch.from_numpy(each.masks)  # as expected by mmdet's tools, hooks and metrics
        sample.set_field(found, 'stage_predictions')
        sample.pred_instances = found[names[-1]]
        if explain:
            told = {name: all_stages[name].explain(readings[name][0]) for name in names if all_stages[name].labels is not None}
            sample.set_field(told, 'explanations')
        return sample


def check_names(names: Sequence[str], stages: Sequence[str] | Mapping[str, Stage]) -> list[str]:
    """Return ``names`` if all are stages; raises ValueError otherwise.

    >>> check_names(['detection'], ['classification', 'detection'])
    ['detection']
    """
    if unknown := [str(name) for name in names if name not in tuple(stages)]:
        raise ValueError(f'Unknown {"stage" if len(unknown) == 1 else "stages"} {", ".join(unknown)}: the model has {", ".join(stages)}.')
    return list(names)
