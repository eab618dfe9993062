"""Load only the first stages of a trained network."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmlabelpenet.apis.checkpoint import read_checkpoint
from mmlabelpenet.apis.config import build_model, stage_names
from mmlabelpenet.models import LabelPENet
from mmlabelpenet.schema import counted


def load_leading_stages(config: Config, path: str | Path, last: str) -> tuple[LabelPENet, dict[str, Any]]:
    """Backbone and the stages up to ``last`` with the weights of a checkpoint, in evaluation mode, and the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: the config has no such stage, or the checkpoint lacks weights of its model.
    """
    config = copy.deepcopy(config)
    model, names = config.model, stage_names(config)
    if last not in names:
        raise ValueError(f'There is no stage {last!r} in {config.filename}, only {", ".join(names)}.')
    model.stages = {name: model.stages[name] for name in names[: names.index(last) + 1]}
    model.test_cfg = dict(stages=[last])
    net, content = build_model(config), read_checkpoint(path)
    wanted, given = net.state_dict(), content['state_dict']
    wrong = [key for key in wanted if key not in given or given[key].shape != wanted[key].shape]
    if wrong:
        number = counted(len(wrong), 'weight')
        raise ValueError(f'{path} lacks {number} of the config ({", ".join(wrong[:3])}). Use the config it was trained with.')
    net.load_state_dict({key: given[key] for key in wanted})
    return net.eval(), content['meta']
