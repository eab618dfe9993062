"""Training from a config."""

from mmengine.config import Config
from mmengine.runner import Runner

from mmlabelpenet import ops
from mmlabelpenet.models.weights import check_input


def train(config: Config, resume: str | None = None, amp: bool = False) -> Runner:
    """Train all phases of a config.

    Args:
        config: with ``work_dir``.
        resume: ``'auto'`` for the last checkpoint of the work dir, or the path of one; None starts anew.
        amp: automatic mixed precision.

    Returns:
        the runner, after training.
    """
    if amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
    if resume is not None:
        config.resume = True
        config.load_from = None if resume == 'auto' else resume
    runner = Runner.from_cfg(config)
    ops.log_kernels()
    check_input(runner.model.module if hasattr(runner.model, 'module') else runner.model)
    runner.train()
    return runner
