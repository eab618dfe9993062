"""Write a page of first-stage labels as soon as they exist, so that wrong tags are noticed early in the training."""

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.workbench.report.browser import write_browser


@HOOKS.register_module()
class FirstPageHook(Hook):
    """Write ``<work dir>/pseudo_labels/<stage>.html`` when the second phase begins, and log its path.

    Args:
        images: folder of the images, located by their ids.
        width: width of the small images in pixels.
    """

    def __init__(self, images: str, width: int = 256) -> None:
        self.images, self.width = images, width

    @master_only
    def before_phase(self, runner: Runner, phase: Any) -> None:
        """Write the page, unless it exists."""
        names = runner.train_loop.model.names
        store = Path(runner.work_dir) / f'pseudo_labels/{names[0]}.json'
        page = store.with_suffix('.html')
        if phase.name not in names[1:2] or not store.is_file() or page.is_file():
            return
        write_browser(page, {names[0]: PseudoLabelStore.load(store)}, self.images, width=self.width)
        runner.logger.info(f'Check the labels of the first stage while the others train: {page}. Wrong tags are visible here.')
