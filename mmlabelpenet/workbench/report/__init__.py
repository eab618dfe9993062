"""Panels, pages and plots of a run: report, label browser, trace, curves.

Importing this package, as the hook registry does, registers the hooks that draw, measure and warn during training.
"""

from .collapse_hook import CollapseHook
from .first_page_hook import FirstPageHook
from .label_samples_hook import LabelSamplesHook
from .live_progress_hook import LiveProgress
from .part_times_hook import PartTimesHook
from .sample_panels_hook import SamplePanels
