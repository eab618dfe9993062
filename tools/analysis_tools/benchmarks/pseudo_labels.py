"""Compare the label pass with two workers with a sequential one on one core."""

import copy
from collections.abc import Iterator

import torch
from _scenes import LabelPasses, build_model, rendered_config, rendered_data
from comparison import Comparison
from mmengine.config import Config

IMAGES, WORKERS = 96, 2


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Loading, network, CRF, boxes of masks, and the store, for the stages with the smallest and the largest network."""
    config = rendered_config(rendered_data(IMAGES))
    model = build_model(config, device)
    for stage in ('classification', 'refinement'):
        variants = {'on one core': Pass(config, model, stage, 0, threads=1), f'{WORKERS} workers': Pass(config, model, stage, WORKERS)}
        shapes = f'{IMAGES} images of 320 x 240, EfficientNet-Lite0, CRF of 5 iterations'
        yield Comparison(f'{stage} stage', variants, reach=1.8, at_least=True, shapes=shapes, runs=3)


class Pass(LabelPasses):
    """One complete label pass per call.

    Args:
        config: with ``label_dataloader``.
        model: the model.
        stage: name of the stage that labels.
        workers: number of loading processes, and of CRF processes.
        threads: PyTorch threads; None keeps the setting.
    """

    def __init__(self, config: Config, model: torch.nn.Module, stage: str, workers: int, threads: int | None = None) -> None:
        config = copy.deepcopy(config)
        config.label_dataloader.num_workers = workers
        super().__init__(config, model, stage)
        self.threads = threads

    def __call__(self) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        super().__call__()
        torch.set_num_threads(before)
