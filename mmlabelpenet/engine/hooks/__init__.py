"""What watches over a training."""

from .atomic_checkpoint import AtomicCheckpointHook
from .health import HealthHook
from .idle_stages import IdleStagesHook
from .label_samples import LabelSamplesHook
from .part_times import PartTimesHook

__all__ = ['AtomicCheckpointHook', 'HealthHook', 'IdleStagesHook', 'LabelSamplesHook', 'PartTimesHook']
