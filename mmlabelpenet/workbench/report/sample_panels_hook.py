"""Drawings of predictions during training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend
from torch import nn

from mmlabelpenet.engine.network import network
from mmlabelpenet.engine.phases import locate
from mmlabelpenet.files import atomic_write
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import check_range
from mmlabelpenet.visualization.drawing import webp


@HOOKS.register_module()
class SamplePanels(Hook):
    """Every ``interval`` iterations, draw a panel of the same few training images: tags, attention, and predictions of the stages that have
    started training.

    ``<work dir>/vis/<image>_iter_<n>.webp``; also to TensorBoard, if the visualizer has that backend. Weights, modes and random states are
    not changed. Stages that are on another device than the backbone, or need one that is, are skipped.

    Args:
        interval: number of iterations between two panels.
        images: number of images, spread over the training images.
        folder: output folder in the work dir.

    Raises:
        ValueError: an interval or a number below 1.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 500, images: int = 2, width: int = 320, folder: str = 'vis') -> None:
        check_range(1, interval=interval, images=images, width=width)
        self.interval, self.images, self.width, self.folder = interval, images, width, folder
        self.samples: list[dict] | None = None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw, on the first rank."""
        if not self.every_n_train_iters(runner, self.interval) or not is_main_process():
            return
        from mmlabelpenet.workbench.report.panels import panel
        from mmlabelpenet.workbench.report.tiles import join

        model = network(runner)
        classes = runner.train_dataloader.dataset.metainfo['classes']
        stages = begun(model, locate(runner.train_loop.phases, runner.iter)[0].name)
        if not stages:
            return
        with left_as_it_was(model):
            for data in self._samples(runner):
                sample = data['data_samples']
                scale = self.width / sample.ori_shape[1]
                tiles = panel(model, data, classes, kinds=('input', 'attention', 'prediction'), scale=scale, stages=stages)
                self._save(runner, sample.img_id, join(tiles, titles=True))

    def _samples(self, runner: Runner) -> list[dict]:
        if self.samples is None:
            dataset = DATASETS.build(runner.cfg.label_dataloader['dataset'])
            indices = np.linspace(0, len(dataset) - 1, min(self.images, len(dataset))).round()
            self.samples = [dataset[int(index)] for index in indices]
        return self.samples

    def _save(self, runner: Runner, name: str, drawn: np.ndarray) -> None:
        path = Path(runner.work_dir) / self.folder / f'{Path(name).name}_iter_{runner.iter + 1:06d}.webp'
        with atomic_write(path, 'wb') as file:
            file.write(webp(drawn, quality=85))
        for backend in runner.visualizer._vis_backends.values():
            if isinstance(backend, TensorboardVisBackend):
                backend.add_image(f'panel/{name}', drawn, step=runner.iter + 1)


def begun(model: nn.Module, phase: str) -> list[str]:
    """Stages that have started training and can predict: all stages that they need are on the device of the backbone."""
    names = list(model.names)
    names = names[: names.index(phase) + 1] if phase in names else names
    device = next(model.backbone.parameters()).device
    tag_stages = [] if model.inference.tag_stage is None else [model.inference.tag_stage]

    def is_present(stage: nn.Module) -> bool:
        return all(parameter.device == device for parameter in stage.parameters())

    return [name for name in names if all(map(is_present, (*model.reader.makers(name), *tag_stages)))]


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards, each module's mode and all random states are restored."""
    modes = {module: module.training for module in model.modules()}
    states = random.getstate(), np.random.get_state()
    devices = [parameter.device for parameter in model.parameters() if parameter.device.type == 'cuda'][:1]
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        random.setstate(states[0])
        np.random.set_state(states[1])
