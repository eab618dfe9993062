"""Stages read together: heads of earlier stages score a stage's proposals too, and class maps of the first weight the scores.

Shapes: C classes. Boxes: float32 xyxy in pixels of the network input of a view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from mmlabelpenet.calibration.generators import LabelGenerator
from mmlabelpenet.calibration.map_evidence import weigh_by_maps
from mmlabelpenet.calibration.reading import Reading
from mmlabelpenet.models.inference.views import View, move_maps
from mmlabelpenet.models.stage import Stage

_LIKELY = 0.02  # minimum image-level score of a class that is searched for


class JointReader:
    """Reads stages for label passes, recurrent fine-tuning and testing.

    Args:
        stages: stages of the model, by name.
        consensus: whether scores and boxes are averaged over the heads of a stage and of all earlier ones that learn from labels, as
            Cascade R-CNN averages the scores of its heads.
        map_evidence: whether scores are weighted by the class maps of the stage that learns from tags, see :func:`weigh_by_maps`.

    Raises:
        ValueError: ``map_evidence`` without a stage that learns from tags and whose label generator has class maps.
    """

    def __init__(self, stages: Mapping[str, Stage], consensus: bool = False, map_evidence: bool = False) -> None:
        self.stages = stages
        learners = [stage for stage in stages.values() if consensus and not stage.learns_from_tags]
        self.peers = {name: learners[: learners.index(stage)] if stage in learners else [] for name, stage in stages.items()}
        map_stages = [stage for stage in stages.values() if stage.learns_from_tags and hasattr(stage.labels, 'class_maps')]
        if map_evidence and not map_stages:
            raise ValueError(
                "model.map_evidence needs a stage that learns from tags with labels=dict(type='ClassActivation', ...); the model has none."
            )
        self.map_stage = map_stages[0] if map_evidence else None

    def weighted(self, name: str) -> bool:
        """Whether the scores of a stage are weighted by class maps: not those of the stage that has the maps."""
        return self.map_stage is not None and name != self.map_stage.name

    def makers(self, name: str) -> list[Stage]:
        """Stages on which the readings of a stage depend: itself first."""
        return [self.stages[name], *self.peers[name], *([self.map_stage] if self.weighted(name) else [])]

    def read(
        self, name: str, views: Sequence[View], evidence: Tensor | None = None, generator: LabelGenerator | None = None
    ) -> list[Reading]:
        """As :meth:`Stage.read`, together with the other stages.

        ``evidence``, class scores (C,) of the whole image, selects the classes to search for; None takes the tags of the image.
        """
        readings = self.stages[name].read(views, generator, self.peers[name])
        if not self.weighted(name):
            return readings
        labels = readings[0].tags if evidence is None else likely(evidence)
        maps = self.map_stage.class_maps(views[0], labels)
        return [
            replace(reading, candidates=weigh_by_maps(reading.candidates, labels, move_maps(maps, views[0].sample, reading.sample)))
            for reading in readings
        ]


def likely(evidence: Tensor) -> list[int]:
    """Classes with an image-level score of at least 0.02 among (C,), and the best one in any case.

    >>> import torch
    >>> likely(torch.tensor([0.01, 0.9, 0.3])), likely(torch.tensor([0.001, 0.002]))
    ([1, 2], [1])
    """
    return (evidence >= min(_LIKELY, float(evidence.max()))).nonzero().flatten().tolist()
