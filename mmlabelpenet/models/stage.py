"""A stage: a detector on the shared map, and its label generator (paper Fig. 1).

A detector is an ordinary one of mmdet, whose "image" is the shared feature map and whose "backbone" is its own tail.

Shapes: N images, D channels, (H, W) padded network input, (h, w) image, stride s, n detections.
Boxes: float32 xyxy in pixels of the network input.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.device import get_device
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor, nn

from mmlabelpenet.calibration.generators import AttentionGenerator, LabelGenerator
from mmlabelpenet.calibration.reading import Reading, inference, mean_candidates, read
from mmlabelpenet.models.feature_cache import FeatureCache, stack_maps, structure
from mmlabelpenet.models.inference.masks import MaskRefinement, soft_masks
from mmlabelpenet.models.inference.views import View, detections, read_views
from mmlabelpenet.models.log_values import label_statistics
from mmlabelpenet.models.stage_configs import check_mask_size, check_roi_size, with_classes
from mmlabelpenet.registry import LABEL_GENERATORS, MODELS
from mmlabelpenet.structures import hand_over
from mmlabelpenet.timing import timed

Maps = tuple[Tensor, ...]  # maps of a tail, float (N, D, h', w') each
Features = Tensor | tuple[Tensor, Tensor]  # the shared map, optionally with the map of a tail's frozen layers
Choice = Callable[[NDArray], NDArray[np.int64]]  # from scores, in descending order, to selected indices
TRAINING_DEPENDENT = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # layers that behave differently in training


class Stage(BaseModule):
    """A detector, its source of supervision, and its label generator.

    Args:
        name: prefix of logged losses.
        num_classes: C, set in every head.
        detector: config of an mmdet detector. Without an RPN it uses the proposals of the data set.
        cache: cache of frozen feature maps, if used.
        labels: config of the label generator for the next stage; None for the last stage.
        learns_from: ``'labels'``, the pseudo instances of the previous stage, or ``'tags'``, the image tags. Scores of a stage that learns
            from tags rank the proposals of one image and are not probabilities.
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        detector: dict,
        cache: FeatureCache | None = None,
        labels: dict | None = None,
        learns_from: str = 'labels',
    ) -> None:
        super().__init__()
        self.name, self.cache = name, cache
        if learns_from not in ('labels', 'tags'):
            raise ValueError(f"A stage must learn from 'labels' or 'tags', got learns_from={learns_from!r}.")
        self.detector = MODELS.build(with_classes(detector, num_classes))
        check_roi_size(self.detector.roi_head, detector['roi_head'])
        check_mask_size(self.detector)
        self.labels = None if labels is None else LABEL_GENERATORS.build(labels)
        if self.labels is not None:
            self.labels.check(self.detector, name)
        self.learns_from_tags = learns_from == 'tags'

    @property
    def needs_proposals(self) -> bool:
        """Whether the detector has no RPN and uses the proposals of the data set."""
        return not self.detector.with_rpn

    def inputs(self, views: Sequence[View]) -> Features:
        """Input of the detector for a batch: the shared maps and, of a frozen tail, its maps, computed without the padding of the batch."""
        shared, tail = [view.feature for view in views], self.detector.backbone
        if not getattr(tail, 'frozen', False):
            return stack_maps(shared)
        if self.cache is None or views[0].key is None:
            with inference(tail):
                return stack_maps(shared), stack_maps([tail.fixed(feature) for feature in shared])
        return stack_maps(shared), stack_maps(self.cache.inner(tail, [view.key for view in views], shared))

    def run_tail(self, feature: Features) -> Maps | None:
        """Maps of the tail for both the losses and the views of a batch, so that it runs once.

        None if evaluation would give other maps: in mixed precision, and for a tail with dropout or trained batch normalisation.
        """
        layers = [*self.detector.backbone.modules(), *(self.detector.neck.modules() if self.detector.with_neck else [])]
        if torch.is_autocast_enabled(get_device()) or any(layer.training and isinstance(layer, TRAINING_DEPENDENT) for layer in layers):
            return None
        with timed(self.name):
            return self.detector.extract_feat(feature)

    def loss(
        self, feature: Features, samples: Sequence[DetDataSample], pseudo: Sequence[InstanceData] | None, maps: Maps | None = None
    ) -> dict[str, Any]:
        """Compute losses ``<name>.loss_…``, values for the log, and, under ``'labels'``, the pseudo instances by stage name.

        Args:
            feature: shared map, float (N, D, H/s, W/s), or the result of :meth:`inputs`.
            samples: samples of the data set; the detector receives only the supervision of the stage and its proposals.
            pseudo: labels per image; None for a stage that learns from tags, except in backward validation.
            maps: result of :meth:`run_tail` for this feature; None runs the tail.
        """
        keep = [*(['proposals'] if self.needs_proposals else []), *(['gt_image_labels'] if self.learns_from_tags else [])]
        with timed(self.name), given_maps(self.detector, maps):
            losses = self.detector.loss(feature, hand_over(samples, pseudo, keep))
        if pseudo is not None:
            losses |= label_statistics(pseudo)
        return {f'{self.name}.{key}': value for key, value in losses.items()} | dict(labels={} if pseudo is None else {self.name: pseudo})

    def maps(self, view: View) -> Maps:
        """Maps of the tail for a view, stored in the view; computed in evaluation mode without gradients."""
        if self.name not in view.maps:
            with inference(self):
                view.maps[self.name] = self.detector.extract_feat(self.inputs([view]))
        return view.maps[self.name]

    def read(self, views: Sequence[View], generator: LabelGenerator | None = None, peers: Sequence['Stage'] = ()) -> list[Reading]:
        """One reading per view of an image, all for the same proposals.

        Args:
            views: tail and head run once on each of them.
            generator: generator for which activations are kept (default: the stage's own).
            peers: stages whose heads also score these proposals; scores and boxes are averaged over all heads.
        """
        generator = generator or self.labels
        record = generator is not None and generator.reads_activations
        with inference(self):
            readings = read_views(self.detector, [self.maps(view) for view in views], [view.sample for view in views], record)
        return [
            replace(
                reading,
                candidates=mean_candidates([reading.candidates, *(peer.score(view, reading.candidates.rois) for peer in peers)]),
                **self._surroundings(view),
            )
            for reading, view in zip(readings, views, strict=True)
        ]

    def _surroundings(self, view: View) -> dict[str, Any]:
        """What the readings of a view share; while the stage trains, its maps are not kept."""
        stored = self.cache is not None and view.key is not None and not self.training
        keep = dict(keep=partial(self.cache.of_stage, view.key, self.detector)) if stored else {}
        return dict(shared=view.feature, enlarged=view.enlarged, memo=view.memo, **keep)

    def score(self, view: View, proposals: Tensor) -> InstanceData:
        """Scores and boxes of this stage for the proposals of another one, float (R, 4), as :attr:`Reading.candidates`."""
        with inference(self):
            return read(self.detector, self.maps(view), view.sample, InstanceData(bboxes=proposals), record=False).candidates

    def explain(self, reading: Reading, generator: LabelGenerator | None = None) -> Any:
        """Input of :meth:`LabelGenerator.label` from a generator (default: the stage's own)."""
        with inference(self):
            return (generator or self.labels).explain(self.detector, reading)

    def evidence(self, views: Sequence[View]) -> Tensor:
        """Class scores of the whole image, float (C,), averaged over its views; only a stage that learns from tags has them."""
        with inference(self):
            return torch.stack([self.detector.roi_head.image_evidence(self.maps(view), view.sample) for view in views]).mean(0)

    def class_maps(self, view: View, labels: Sequence[int]) -> Tensor:
        """Maps of classes, float (K, h, w) in [0, 1], 0.5 at the border of an object, from the label generator."""
        reading = Reading(self.maps(view), view.sample, InstanceData(), **self._surroundings(view))
        with inference(self):
            return self.labels.class_maps(self.detector, reading, labels)

    def predict(
        self,
        readings: Sequence[Reading],
        image: NDArray[np.uint8],
        refinement: MaskRefinement | None,
        evidence: Tensor | None = None,
        choose: Choice | None = None,
    ) -> InstanceData:
        """Detections of an image, by descending score, in the frame of its first view: ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,).

        With ``refinement`` also ``masks`` bool (n, h, w), from the mask head or, without one, from the stage's calibration.

        Args:
            readings: one per view.
            image: RGB uint8 (h, w, 3) of the first view.
            refinement: refinement of masks; None predicts only boxes.
            evidence: class scores (C,) of the whole image, which multiply those of the detections.
            choose: selects detections before masks are computed; None keeps all.
        """
        with inference(self):
            found = detections(self.detector, readings, evidence)
            if choose is not None:
                found = found[choose(found.scores.cpu().numpy())]
            explains = self.detector.with_mask or isinstance(self.labels, AttentionGenerator)
            if refinement is None or not explains:
                return found
            return refinement(image, found, soft_masks(self.detector, self.labels, readings, found, refinement.max_masks))


@contextmanager
def given_maps(detector: TwoStageDetector, maps: Maps | None) -> Iterator[None]:
    """Make a detector use given maps of its tail instead of running the tail, which mmdet's ``loss`` does; None runs it."""
    if maps is not None:
        detector.extract_feat = lambda _: maps
    try:
        yield
    finally:
        vars(detector).pop('extract_feat', None)


def share_tails(detectors: Iterable[BaseModule]) -> None:
    """Share tail, fc6 and fc7 among all detectors of the same structure (choice N4).

    Stages that are not being trained then change with the one that is.
    """
    seen: dict[str, nn.Module] = {}

    def shared(module: nn.Module) -> nn.Module:
        trained = [parameter.requires_grad for parameter in module.parameters()]
        return seen.setdefault(repr((structure([module]), trained)), module)

    for detector in detectors:
        detector.backbone, head = shared(detector.backbone), detector.roi_head.bbox_head
        head.shared_fcs = shared(head.shared_fcs)
