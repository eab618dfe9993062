"""The training loop, its phases, the label pass and hooks."""

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
