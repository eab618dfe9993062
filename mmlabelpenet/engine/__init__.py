"""Who trains when."""

from .label_pass import LabelPass
from .loops import LabelPropagationLoop, Phase

__all__ = ['LabelPass', 'LabelPropagationLoop', 'Phase']
