"""Parameter groups of ``paramwise_cfg``, built without a line of the log for each tensor."""

import logging

from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor as MMEngineConstructor
from mmengine.optim import OptimWrapper
from torch import nn

from mmlabelpenet.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DefaultOptimWrapperConstructor(MMEngineConstructor):
    """mmengine's, with one line that counts what it says of each tensor: hundreds, with a frozen backbone."""

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer."""
        logger, counts = MMLogger.get_current_instance(), _Counts()
        logger.addFilter(counts)
        try:
            wrapper = super().__call__(model)
        finally:
            logger.removeFilter(counts)
        if counts.rules:
            logger.info(f'paramwise_cfg: {len(counts.rules)} tensors have rules of their own, {counts.frozen} are frozen and left out.')
        return wrapper


class _Counts(logging.Filter):
    """Takes mmengine's lines on single tensors out of the log and counts the tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.rules, self.frozen = set[str](), 0

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith('paramwise_options -- '):
            self.rules.add(text.removeprefix('paramwise_options -- ').partition(':')[0])
        elif text.endswith('is skipped since its requires_grad=False'):
            self.frozen += 1
        else:
            return True
        return False
