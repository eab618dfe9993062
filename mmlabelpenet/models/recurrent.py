"""Recurrent mixed fine-tuning: labels are passed forward and backward in every iteration (paper Sec. 3.3, "Forward-Backward Learning with
Curriculum", and Fig. 1a).

    forward curriculum     each stage learns from the labels that the previous one has just generated
    backward validation    each stage learns from the detections of the next one; the last only predicts

No gradient flows through labels; they are generated with the current weights, in parallel with the losses of earlier stages. The tail of a
stage being trained runs once, for its losses and for the labels that it generates.

Shapes: N images, D channels, (H, W) padded network input, (h, w) image, stride s.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.models.inference.views import View, crop_maps
from mmlabelpenet.timing import timed
from mmlabelpenet.workers import Workers

if TYPE_CHECKING:
    from mmlabelpenet.models.label_penet import LabelPENet

FORWARD, BACKWARD = 'forward', 'backward'


def recurrent_losses(model: 'LabelPENet', inputs: Tensor, samples: list[DetDataSample], direction: str, workers: Workers) -> dict[str, Any]:
    """Losses of all stages that learn in a direction, ``'forward'`` or ``'backward'``, as returned by :meth:`Stage.loss`.

    Args:
        model: the model, whose stages learn, and its backbone unless it is frozen.
        inputs: float (N, 3, H, W).
        samples: with tags and proposals.
        workers: generate labels in parallel with the network in the forward direction.
    """
    if model.frozen_backbone:  # labels use only the image's own map
        views = [replace(view, enlarged=None) for view in model.views(inputs, samples)]
    else:
        feature = model.extract_feat(inputs)
        views = list(map(View, crop_maps(feature.detach().float(), samples), samples))
    learning = model.names if direction == FORWARD else model.names[:-1]
    features = {name: model.stages[name].inputs(views) if model.frozen_backbone else feature for name in learning}
    maps = {name: model.stages[name].run_tail(features[name]) for name in learning}
    for name, each in maps.items():
        if each is not None:
            for view, *own in zip(views, *(crop_maps(level.detach(), samples) for level in each), strict=True):
                view.maps[name] = tuple(own)
    labels = Labels(model, views, model.data_preprocessor.images(inputs, samples))
    if direction == FORWARD:  # all labels are begun first, so that the CRF runs in parallel with the losses
        begun = {teacher: labels.begin(teacher, FORWARD, workers) for teacher in model.names[:-1]}
        learners = [(name, begun.get(teacher)) for teacher, name in zip((None, *model.names), model.names)]
    else:  # one after the other, from the last stage to the first
        learners = ((name, labels.begin(teacher, BACKWARD, Workers())) for name, teacher in reversed([*pairwise(model.names)]))
    losses: dict[str, Any] = dict(labels={})
    for name, label_futures in learners:
        found = model.stages[name].loss(features[name], samples, labels.finish(label_futures), maps[name])
        losses |= found | dict(labels=losses['labels'] | found['labels'])
    return losses


class Labels:
    """Labels of a batch that stages generate for their neighbours, from views without gradient and images RGB uint8 (h, w, 3)."""

    def __init__(self, model: 'LabelPENet', views: Sequence[View], images: Sequence[np.ndarray]) -> None:
        self.model, self.images, self.views = model, images, views

    def begin(self, teacher: str, direction: str, workers: Workers) -> tuple[str, list[Future[InstanceData]]]:
        """Start generating labels of a stage for its neighbour in a direction: returns a cache key and a future per image."""
        stage, key, made = self.model.stages[teacher], teacher if direction == FORWARD else f'{teacher} {direction}', []
        generator = stage.labels if direction == FORWARD else self.model.validation
        with timed('labels'):
            for view, image in zip(self.views, self.images, strict=True):
                if (recalled := self.model.label_cache.recall(key, view.sample)) is not None:
                    made.append(Workers().submit(InstanceData.clone, recalled))
                    continue
                (reading,) = self.model.reader.read(teacher, [view], generator=generator)
                made.append(workers.submit(generator.label, image, stage.explain(reading, generator)))
        return key, made

    def finish(self, begun: tuple[str, list[Future[InstanceData]]] | None) -> list[InstanceData] | None:
        """Wait for the labels started by :meth:`begin`, on the device of the map."""
        if begun is None:
            return None
        key, made = begun
        with timed('labels'):
            labels = [future.result().to(view.feature.device) for view, future in zip(self.views, made, strict=True)]
        for view, pseudo in zip(self.views, labels, strict=True):
            self.model.label_cache.keep(key, view.sample, pseudo)
        return labels
