"""Count the operations for predicting one image, stage by stage."""

from collections.abc import Iterator

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mmlabelpenet.apis.config import build_model, stage_names
from mmlabelpenet.workbench.experiments.memory import synthetic_batch


def count_flops(config: Config, size: tuple[int, int], proposals: int) -> Iterator[tuple[str, int, int]]:
    """Floating-point operations, two per multiply-add, of an untrained model on random noise.

    Args:
        config: its model is used, without ImageNet weights.
        size: (h, w) of the network input.
        proposals: number of proposals of a stage without RPN.

    Yields:
        name, operations and parameters of the backbone and of each stage.

    Raises:
        ValueError: the model has no stages.
    """
    if not stage_names(config):
        raise ValueError(f'{config.filename} has no stages (model.stages). For a model of MMDetection, use its own get_flops.py.')
    model = build_model(config).eval()
    data = model.data_preprocessor(synthetic_batch(config.model.num_classes, size, proposals, 1), False)
    (view,) = model.views(data['inputs'], data['data_samples'], store=False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.extract_feat(data['inputs'])
    yield 'backbone', counter.get_total_flops(), _parameters(model.backbone)
    for name, stage in model.stages.items():
        with FlopCounterMode(display=False) as counter:
            reading = stage.read([view])
            stage.predict(reading, model.data_preprocessor.images(data['inputs'], data['data_samples'])[0], None)
        yield name, counter.get_total_flops(), _parameters(stage)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
