"""What the tools call."""

from .config import load_config, parse_options
from .test import test
from .train import train

__all__ = ['load_config', 'parse_options', 'test', 'train']
