"""The functions behind the command-line tools."""

from mmlabelpenet.ops import quiet  # must precede every import of mmdet's data sets
from mmlabelpenet.options import parse_options

from .config import load_config
from .inferencer import LabelPENetInferencer
from .results import Prediction
from .test import test
from .train import train

__all__ = ['LabelPENetInferencer', 'Prediction', 'load_config', 'parse_options', 'test', 'train']
