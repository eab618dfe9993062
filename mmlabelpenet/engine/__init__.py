"""The training loop, its phases, the label pass and hooks."""

from . import hooks
from .label_pass import LabelPass
from .loops import LabelPropagationLoop, Phase
from .parameters import DefaultOptimWrapperConstructor
from .precision import MixedPrecisionWrapper
