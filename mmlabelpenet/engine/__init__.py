"""Who trains when, and what watches over it."""

from .hooks import AtomicCheckpointHook, HealthHook, IdleStagesHook, PartTimesHook
from .label_pass import LabelPass
from .loops import LabelPropagationLoop, Phase
from .precision import MixedPrecisionWrapper

__all__ = [
    'AtomicCheckpointHook',
    'HealthHook',
    'IdleStagesHook',
    'LabelPass',
    'LabelPropagationLoop',
    'MixedPrecisionWrapper',
    'PartTimesHook',
    'Phase',
]
