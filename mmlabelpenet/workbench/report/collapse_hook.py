"""Warn when multiple-instance learning selects ever smaller boxes."""

from collections import deque
from statistics import median

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.log import warn
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import check_range


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warn if the highest-scoring boxes of the classification stage have become small.

    The loss does not show this: a head, a wheel or a patch of grass can be as discriminative as the whole object.

    Args:
        threshold: minimum fraction of the image covered by the median best box of a tag; use a smaller one for small objects.
        window: number of iterations of the median; no warning before.
        interval: iterations between two warnings.

    Raises:
        ValueError: the threshold is outside [0, 1], or a number of iterations is below 1.
    """

    KEY = 'classification.chosen_area'

    def __init__(self, threshold: float = 0.03, window: int = 100, interval: int = 500) -> None:
        check_range(0, 1, threshold=threshold)
        check_range(1, window=window, interval=interval)
        self.threshold, self.interval = threshold, interval
        self.areas: deque[float] = deque(maxlen=window)
        self.next_warning = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Record the area of this iteration, and warn."""
        self.areas.extend(float(value) for key, value in (outputs or {}).items() if key.endswith(self.KEY))
        if len(self.areas) < self.areas.maxlen or batch_idx < self.next_warning:
            return
        middle = median(self.areas)
        if middle < self.threshold:
            self.next_warning = batch_idx + self.interval
            warn(
                f'The median selected box covers {100 * middle:.2g} % of the image: multiple-instance learning has collapsed to parts or '
                'background; see docs/findings.md'
            )
        self.areas.clear()
