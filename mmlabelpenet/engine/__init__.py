"""The training loop, its phases, the label pass and hooks."""

from . import hooks
from .label_pass import LabelPass
from .loops import LabelPropagationLoop, Phase
from .precision import MixedPrecisionWrapper
