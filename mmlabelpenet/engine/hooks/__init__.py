"""Hooks required for training."""

from .atomic_checkpoint import AtomicCheckpointHook
from .health import HealthHook
from .idle_stages import IdleStagesHook
from .reused_labels import ReusedLabelsHook
from .validated_stages import EarlyStoppingHook, ValidatedStagesHook
