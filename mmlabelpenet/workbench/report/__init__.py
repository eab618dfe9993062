"""Panels, pages and plots of a run: report, browser, trace, curves.

Importing this package registers the hooks that draw while a training runs; the registry of hooks knows the place.
"""

from .first_page_hook import FirstPageHook
from .label_samples_hook import LabelSamplesHook
from .live_progress_hook import LiveProgress
from .sample_panels_hook import SamplePanels

__all__ = ['FirstPageHook', 'LabelSamplesHook', 'LiveProgress', 'SamplePanels']
