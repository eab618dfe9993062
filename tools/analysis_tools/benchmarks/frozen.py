"""Training iterations and label passes of the model for natural images, without a feature cache and with a warm one."""

import copy
import tempfile
from collections.abc import Iterator

import torch
from _scenes import ROOT, LabelPasses, build_model, draw_batch, optimizer_of, rendered_config, rendered_data, training_set
from comparison import Comparison
from mmengine.config import Config

from mmlabelpenet.apis.config import load_config

IMAGES, BATCHES = 8, 3
REACH = dict(classification=6, detection=1.7, refinement=1.4, segmentation=1.4)


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Phases and first label pass of ``labelpenet_lite0_animals.py``, on rendered images at its two sizes, including data loading."""
    config = photo_config()
    plain, cached = copy.deepcopy(config), copy.deepcopy(config)
    plain.model.feature_cache = None
    folder = tempfile.TemporaryDirectory(prefix='benchmark_cache_')
    cached.model.feature_cache = dict(dir=folder.name)
    nets = {'without': build_model(plain, device), 'with a warm cache': build_model(cached, device)}
    batches = list(range(BATCHES))
    for name, reach in REACH.items():
        variants = {text: Iterations(config, net, name, batches) for text, net in nets.items()}
        variants['with a warm cache'].warm()
        shapes = '4 images of 400 x 300 or 480 x 360, flipped or not, EfficientNet-Lite0 at stride 16'
        yield Comparison(f'{name} phase', variants, reach=reach, at_least=True, shapes=shapes, runs=BATCHES)
    passes = {text: LabelPasses(config, net, 'classification') for text, net in nets.items()}
    passes['with a warm cache']()
    yield Comparison('label pass of classification', passes, reach=2.5, at_least=True, shapes=f'{IMAGES} images of 400 x 300', runs=2)
    folder.cleanup()


def photo_config() -> Config:
    """The model for natural images on rendered images."""
    config = rendered_config(rendered_data(IMAGES, 300, 400, 300))
    photo = load_config(ROOT / 'configs/labelpenet/labelpenet_lite0_animals.py')
    config.model, config.optim_wrapper = photo.model, photo.optim_wrapper
    config.model.num_classes = 4
    for name in ('train', 'label'):
        config[f'{name}_dataloader'].dataset.pipeline = photo[f'{name}_dataloader'].dataset.pipeline
    return config


class Iterations:
    """One training iteration per call, cycling through a few batches.

    Args:
        config: config of data and optimizer.
        model: the model to train.
        trains: a stage.
        batches: indices, which seed the augmentation.
    """

    def __init__(self, config: Config, model: torch.nn.Module, trains: str, batches: list[int]) -> None:
        self.model, self.trains, self.batches, self.number = model, trains, batches, 0
        self.dataset = training_set(config, labels=not model.stages[trains].learns_from_tags)
        self.optimizer = optimizer_of(config, model)

    def __call__(self) -> None:
        number = self.batches[self.number % len(self.batches)]
        torch.manual_seed(number)
        batch = draw_batch(self.dataset, number, 4) | dict(trains=self.trains)
        self.model.train_step(batch, optim_wrapper=self.optimizer)
        self.number += 1

    def warm(self) -> None:
        """See every batch once."""
        for _ in self.batches:
            self()
