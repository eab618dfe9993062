"""Panels, pages and plots of a run: report, browser, trace, curves.

Importing this package registers the hooks that draw, measure and warn while a training runs; the registry of hooks knows the place.
"""

from .collapse_hook import CollapseHook
from .first_page_hook import FirstPageHook
from .label_samples_hook import LabelSamplesHook
from .live_progress_hook import LiveProgress
from .part_times_hook import PartTimesHook
from .sample_panels_hook import SamplePanels
