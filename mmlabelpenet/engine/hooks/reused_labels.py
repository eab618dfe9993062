"""Save labels for reuse in checkpoints."""

from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.engine.network import network
from mmlabelpenet.log import warn
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import counted

KEY = 'reused_labels'


@HOOKS.register_module()
class ReusedLabelsHook(Hook):
    """With ``model.refresh_interval`` above 1, checkpoints contain the labels that each rank will reuse, and resuming restores them."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the labels of all ranks; called on every rank."""
        if (cache := label_cache(runner)).refresh_interval > 1:
            checkpoint[KEY] = all_gather_object(cache.state_dict())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore this rank's labels when a run is resumed."""
        cache, ranks = label_cache(runner), checkpoint.get(KEY)
        if not runner._resume or cache.refresh_interval == 1 or ranks is None:
            return
        if len(ranks) != get_world_size():
            warn(
                f'Labels for reuse were saved by {counted(len(ranks), "rank")}, this training has {get_world_size()}: they are regenerated.'
            )
            return
        cache.load_state_dict(ranks[get_rank()], next(runner.model.parameters()).device)


def label_cache(runner: Runner) -> LabelCache:
    """The label cache of the runner's network."""
    return network(runner).label_cache
