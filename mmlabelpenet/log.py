"""Warnings in the log of a run."""

import logging
from functools import cache

from mmengine.logging import print_log


def warn(message: str) -> None:
    """Write a warning to the current log."""
    print_log(message, 'current', level=logging.WARNING)


warn_once = cache(warn)
