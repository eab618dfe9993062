"""Hooks of a training."""

from .atomic_checkpoint import AtomicCheckpointHook
from .collapse import CollapseHook
from .health import HealthHook
from .idle_stages import IdleStagesHook
from .part_times import PartTimesHook
from .reused_labels import ReusedLabelsHook
from .validated_stages import EarlyStoppingHook, ValidatedStagesHook

__all__ = [
    'AtomicCheckpointHook',
    'CollapseHook',
    'EarlyStoppingHook',
    'HealthHook',
    'IdleStagesHook',
    'PartTimesHook',
    'ReusedLabelsHook',
    'ValidatedStagesHook',
]
