"""Label-PEnet: one shared backbone, four detectors in a row, and labels handed from one to the next (paper Fig. 1).

    image ─ backbone (shared) ─┬─ classification   multiple-instance learning on proposals (Eq. 1, 2)
                               ├─ detection        Faster R-CNN with instance weights (Eq. 3, 4)
                               ├─ refinement       Mask R-CNN with instance weights
                               └─ segmentation     Mask R-CNN, fully supervised by refinement

A stage is an ordinary mmdet detector whose "image" is the shared feature map and whose "backbone" is its own tail.

Shapes: N images, D channels, (H, W) padded network input, (h, w) image, stride s.
Boxes: float32 xyxy in pixels of the network input unless ``rescale=True``.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.model import ModuleDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.belief import predict_boxes
from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.calibration.label_generator import LabelGenerator
from mmlabelpenet.calibration.workers import Workers
from mmlabelpenet.models.finite import check_finite
from mmlabelpenet.models.inference.image_evidence import image_evidence, weigh_by_evidence
from mmlabelpenet.models.inference.mask_refinement import MaskRefinement, add_masks, rescale_results
from mmlabelpenet.models.memory_options import recompute_activations, share_tails
from mmlabelpenet.registry import LABEL_GENERATORS, MODELS
from mmlabelpenet.structures import STAGES, check_stage, hand_over
from mmlabelpenet.timing import timed

FORWARD, BACKWARD = 'forward', 'backward'


@MODELS.register_module()
class LabelPENet(BaseDetector):
    """The whole network.

    What :meth:`loss` trains is set by ``curriculum``: the name of one stage (cascaded pre-training: labels come with the samples),
    ``'forward'`` or ``'backward'`` (recurrent fine-tuning: labels are made on the way). A stage that is not trained is not in the
    graph of the loss.

    Args:
        num_classes: C, written into every head.
        backbone: shared layers.
        stages: detector config per stage, in the order of ``STAGES``; leading stages only for a shorter cascade.
        generators: label generator config per stage, for the forward direction.
        validation: label generator config of the backward direction.
        frozen_backbone: whether recurrent fine-tuning leaves the backbone alone too (row N10).
        share_tail: stages of one structure share conv5, fc6 and fc7, for small GPUs (row N4).
        refresh_interval: labels of an image serve this many of its visits in recurrent fine-tuning (row L10).
        recompute: what is computed again in the backward pass instead of being kept in memory: ``'backbone'``, ``'tail'`` (conv5 of
            every stage), ``'roi_head'`` (its fully connected layers and mask convolutions).
        test_cfg: ``stages`` to predict (the last is the result), ``with_masks`` (False predicts boxes alone, as they are detected, which is
            faster); the rest are settings of :class:`MaskRefinement`. With ``image_evidence`` the classification stage's score of the whole
            image weighs the detections of all others, see :mod:`~mmlabelpenet.models.inference.image_evidence`.

    Raises:
        ValueError: stages are not the first ones of ``STAGES``, or a generator is missing.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: dict,
        stages: dict[str, dict],
        generators: dict[str, dict],
        validation: dict | None = None,
        frozen_backbone: bool = False,
        share_tail: bool = False,
        refresh_interval: int = 1,
        recompute: Sequence[str] = (),
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        names = tuple(name for name in STAGES if name in stages)
        if not names or names != tuple(STAGES[: len(names)]) or len(names) != len(stages):
            raise ValueError(f'Expected the first stages of {tuple(STAGES)}, got {tuple(stages)}.')
        if missing := [name for name in names[:-1] if name not in generators]:
            raise ValueError(f'Stages {missing} hand labels on and need a generator each.')
        self.backbone = MODELS.build(backbone)
        self.stages = ModuleDict({name: MODELS.build(_with_classes(stages[name], num_classes)) for name in names})
        if share_tail:
            share_tails(self.stages.values())
        self.generators = {name: LABEL_GENERATORS.build(generators[name]) for name in names if name in generators}
        self.validator = LABEL_GENERATORS.build(validation or dict(type='DetectionLabels'))
        self.label_cache = LabelCache(refresh_interval)
        self.workers = Workers()  # processes for the CRF of recurrent fine-tuning; the loop brings some
        recompute_activations(self.backbone, self.stages.values(), recompute)
        self.received: dict[str, list[InstanceData]] = {}  # labels that stages got last, by direction and stage, to look at
        self.frozen_backbone = frozen_backbone
        test_cfg = dict(test_cfg or {})
        self.predicted = [check_stage(name) for name in test_cfg.pop('stages', names[-1:])]
        self.with_masks = bool(test_cfg.pop('with_masks', True))
        self.image_evidence = bool(test_cfg.pop('image_evidence', False))
        self.refinement = MaskRefinement(**test_cfg)
        self.curriculum = names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self.stages)

    # ---------------------------------------------------------------- training

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of what ``curriculum`` says, keys ``<stage>.loss_…``.

        Raises:
            FloatingPointError: a loss is not finite; names stage and images. Nothing has been updated then.
        """
        if self.curriculum == FORWARD:
            losses = self._forward_losses(batch_inputs, batch_data_samples)
        elif self.curriculum == BACKWARD:
            losses = self._backward_losses(batch_inputs, batch_data_samples)
        else:
            losses = self._cascade_losses(batch_inputs, batch_data_samples)
        check_finite(losses, batch_data_samples)
        return losses

    def _cascade_losses(self, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Cascaded pre-training: one stage learns from stored labels, the backbone is fixed (Sec. 3.3)."""
        with torch.no_grad():
            feature = self.extract_feat(inputs)
        labels = [sample.pseudo_instances for sample in samples]
        return self.stage_losses(self.curriculum, feature, samples, labels)

    def stage_losses(
        self, name: str, feature: Tensor, samples: list[DetDataSample], pseudo: list[InstanceData] | None
    ) -> dict[str, Tensor]:
        """Losses of one stage on the shared map.

        Args:
            feature: float (N, D, H/s, W/s).
            samples: of the data set.
            pseudo: labels per image; the classification stage learns from tags and takes them in backward validation only.
        """
        if name == 'classification':
            backward = pseudo if self.curriculum == BACKWARD else None
            fresh = hand_over(samples, backward, keep=('proposals', 'gt_image_labels'))
        else:
            fresh = hand_over(samples, pseudo)
        with timed(name):
            losses = self.stages[name].loss(feature, fresh)
        if 'gt_instances' in fresh[0]:
            self.received[f'{self.curriculum}.{name}' if self.curriculum in (FORWARD, BACKWARD) else name] = pseudo
            losses |= label_statistics(pseudo)
        return {f'{name}.{key}': value for key, value in losses.items()}

    def _forward_losses(self, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Forward curriculum: each stage learns from the labels that the one before it has just made (Sec. 3.3)."""
        feature, images = self._shared(inputs), self.data_preprocessor.images(inputs, samples)
        # All are asked first, so that the CRF runs beside the losses of the stages before.
        made = {
            name: self._begin_labels(name, self.generators[name], name, feature, samples, images, self.workers) for name in self.names[:-1]
        }
        losses, pseudo = {}, None
        for name in self.names:
            losses |= self.stage_losses(name, feature, samples, pseudo)
            pseudo = self._wait_for(made[name]) if name in made else None
        return losses

    def _backward_losses(self, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Backward validation: each stage learns from what the one after it detects; the last only infers (Sec. 3.3)."""
        feature, images = self._shared(inputs), self.data_preprocessor.images(inputs, samples)
        losses = {}
        for teacher, name in zip(self.names[:0:-1], self.names[-2::-1], strict=True):
            made = self._begin_labels(f'{teacher} {BACKWARD}', self.validator, teacher, feature, samples, images, Workers())
            losses |= self.stage_losses(name, feature, samples, self._wait_for(made))
        return losses

    def _begin_labels(
        self,
        key: str,
        generator: LabelGenerator,
        teacher: str,
        feature: Tensor,
        samples: list[DetDataSample],
        images: Sequence[np.ndarray],
        workers: Workers,
    ) -> Callable[[], list[InstanceData]]:
        begin = partial(generator.begin, self.stages[teacher], feature.detach(), samples, images, workers)
        with timed('labels'):
            return self.label_cache(key, samples, begin)

    @staticmethod
    def _wait_for(made: Callable[[], list[InstanceData]]) -> list[InstanceData]:
        with timed('labels'):
            return made()

    def _shared(self, inputs: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.frozen_backbone and torch.is_grad_enabled()):
            return self.extract_feat(inputs)

    # --------------------------------------------------------------- inference

    def extract_feat(self, batch_inputs: Tensor) -> Tensor:
        """The shared map, float (N, D, H/s, W/s), of normalised images (N, 3, H, W)."""
        with timed('backbone'):
            return self.backbone(batch_inputs)[-1]

    @torch.no_grad()
    def label_jobs(self, name: str, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> list[Any]:
        """What ``generators[name].finish`` makes pseudo instances of, in the frame of the network input, for the successor of ``name``."""
        feature = self.extract_feat(batch_inputs)
        images = self.data_preprocessor.images(batch_inputs, batch_data_samples)
        return self.generators[name].ask(self.stages[name], feature, batch_data_samples, images)

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True) -> list[DetDataSample]:
        """Detections of the stages in ``predicted``.

        Returns:
            samples with ``stage_predictions``, a dict of InstanceData (``bboxes``, ``scores``, ``labels``, ``masks`` bool (n, h, w)),
            and ``pred_instances``, those of the last of these stages.
        """
        feature = self.extract_feat(batch_inputs)
        images = self.data_preprocessor.images(batch_inputs, batch_data_samples)
        predictions = {name: self.predict_stage(name, feature, batch_data_samples, images, rescale) for name in self.predicted}
        return add_predictions(batch_data_samples, self.weigh(predictions, (feature, batch_data_samples)))

    def weigh(
        self, predictions: dict[str, list[InstanceData]], *views: tuple[Tensor, list[DetDataSample]]
    ) -> dict[str, list[InstanceData]]:
        """Detections of the later stages weighed by the evidence of the whole image, where ``test_cfg`` asks for it; views: their mean."""
        if not self.image_evidence:
            return predictions
        stage = self.stages['classification']
        evidence = torch.stack([image_evidence(stage, feature, samples) for feature, samples in views]).mean(0)
        return {name: found if name == 'classification' else weigh_by_evidence(found, evidence) for name, found in predictions.items()}

    def predict_stage(
        self, name: str, feature: Tensor, samples: list[DetDataSample], images: Sequence[np.ndarray], rescale: bool = True
    ) -> list[InstanceData]:
        """Detections of one stage; masks of the first two come from their calibration, all are refined by the CRF (row L11)."""
        stage = self.stages[name]
        fresh = hand_over(samples, keep=('proposals',) if name == 'classification' else ())
        if self.with_masks:
            results = [r.pred_instances for r in stage.predict(feature, fresh, rescale=False)]
            results = add_masks(stage, self.generators.get(name), feature, samples, results, images, self.refinement)
        else:
            results = predict_boxes(stage, stage.extract_feat(feature), fresh)
        return rescale_results(results, samples) if rescale else results

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None) -> Tensor:
        """mode='tensor': the shared map."""
        return self.extract_feat(batch_inputs)


def add_predictions(samples: list[DetDataSample], predictions: dict[str, list[InstanceData]]) -> list[DetDataSample]:
    """Give samples the detections of every stage, ``stage_predictions``, and those of the last, ``pred_instances``."""
    for sample, *found in zip(samples, *predictions.values(), strict=True):
        sample.set_field(dict(zip(predictions, found, strict=True)), 'stage_predictions')
        sample.pred_instances = found[-1]
    return samples


def label_statistics(pseudo: Sequence[InstanceData]) -> dict[str, Tensor]:
    """Pseudo instances per image and their mean weight (0 without any), for the log.

    >>> {key: float(value) for key, value in label_statistics([InstanceData(weights=torch.tensor([0.5, 1.0]))]).items()}
    {'labels_per_image': 2.0, 'label_weight': 0.75}
    """
    weights = torch.cat([labels.weights for labels in pseudo])
    mean = weights.mean() if len(weights) else weights.new_zeros(())
    return dict(labels_per_image=weights.new_tensor(len(weights) / len(pseudo)), label_weight=mean)


def _with_classes(stage: dict, num_classes: int) -> dict:
    """A copy of a stage's config (mmdet writes into what it is given) whose heads know C."""
    stage = copy.deepcopy(stage)
    for head in ('bbox_head', 'mask_head'):
        if stage['roi_head'].get(head) is not None:
            stage['roi_head'][head]['num_classes'] = num_classes
    return stage
