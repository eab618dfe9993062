"""Check that the preprocessing of a model matches its ImageNet weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmlabelpenet.models.weights import ImageNetWeights, Preset, preset_of

_COLOUR = (30, 100, 200)


def check_input(model: nn.Module, data_preprocessor: nn.Module | None = None) -> None:
    """Check that the preprocessor produces the input that the ImageNet weights of ``model`` were trained on.

    The preprocessor is run on a small image of known colour, so that any preprocessor class can be checked.

    Args:
        model: the ``init_cfg`` of its modules names the presets; modules without ImageNet weights are ignored.
        data_preprocessor: None uses ``model.data_preprocessor``.

    Raises:
        ValueError: channel order, mean or std differ.
    """
    configs = [(name, cfg) for name, module in model.named_modules() for cfg in _imagenet_configs(module)]
    if not configs:
        return
    made = _probe(model.get_submodule('data_preprocessor') if data_preprocessor is None else data_preprocessor)
    for name, cfg in configs:
        preset = preset_of(cfg['arch'], cfg['preset'])
        wanted = _expected(preset)
        if not torch.allclose(made * torch.tensor(preset.std), wanted * torch.tensor(preset.std), rtol=0, atol=0.05):
            raise ValueError(
                f'The ImageNet weights of {name!r} ({cfg["arch"]}, preset {cfg["preset"]!r}) expect {preset.order.upper()} images, mean '
                f'{preset.mean}, std {preset.std}: BGR {_COLOUR} should become {_rounded(wanted)}, but the data preprocessor returns '
                f'{_rounded(made)}. Set data_preprocessor=dict(mean={list(preset.mean)}, std={list(preset.std)}, '
                f'bgr_to_rgb={preset.order == "rgb"}), or choose the preset of your weights.'
            )


def _expected(preset: Preset) -> Tensor:
    colour = torch.tensor(_COLOUR if preset.order == 'bgr' else _COLOUR[::-1], dtype=torch.float32)
    return (colour - torch.tensor(preset.mean)) / torch.tensor(preset.std)


def _probe(data_preprocessor: nn.Module) -> Tensor:
    """The preprocessor's output for a pixel of the test colour, float (3,)."""
    image = torch.tensor(_COLOUR, dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32).contiguous()
    with torch.no_grad():
        return data_preprocessor({'inputs': [image], 'data_samples': None}, False)['inputs'][0][:, 0, 0].float().cpu()


def _imagenet_configs(module: nn.Module) -> list[dict[str, Any]]:
    configs = getattr(module, 'init_cfg', None) or []
    configs = [configs] if isinstance(configs, Mapping) else configs
    return [cfg for cfg in configs if cfg.get('type') in ('ImageNetWeights', ImageNetWeights)]


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in values.tolist())
