"""Compare a recurrent iteration with the same forward and backward passes with given labels: the cost of calibration and the CRF."""

from collections.abc import Iterator

import torch
from _scenes import RENDERED_CONFIG, build_model, draw_batch, optimizer_of, rendered_config, rendered_data, training_set
from comparison import Comparison
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlabelpenet.apis.config import load_config
from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.models.recurrent import BACKWARD, FORWARD
from mmlabelpenet.workers import Workers


class Given:
    """Replaces the model's label cache: labels are generated once and then reused."""

    def __init__(self) -> None:
        self.labels: dict[tuple[str, str], InstanceData] = {}

    def recall(self, stage: str, sample: DetDataSample) -> InstanceData | None:
        """Labels of an image, if already generated."""
        return self.labels.get((stage, sample.img_id))

    def keep(self, stage: str, sample: DetDataSample, pseudo: InstanceData) -> None:
        """Store labels."""
        self.labels[stage, sample.img_id] = pseudo


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Forward curriculum and backward validation on a batch of 4 rendered images; the learning rate is 0, so labels do not change."""
    config = rendered_config(rendered_data())
    model = build_model(config, device)
    size = config.train_dataloader.batch_size
    batch, optimizer = draw_batch(training_set(config, labels=False), 0, size), optimizer_of(config, model, lr=0.0)
    made, given = LabelCache(), Given()
    processes = load_config(RENDERED_CONFIG).label_dataloader.num_workers

    def iterate(labels: LabelCache | Given) -> None:
        model.label_cache = labels
        for trains in (FORWARD, BACKWARD):
            torch.manual_seed(0)
            model.train_step(batch | dict(trains=trains, workers=workers), optim_wrapper=optimizer)

    variants = {'labels made': lambda: iterate(made), 'labels given': lambda: iterate(given)}
    shapes = f'{size} images of 320 x 240 or 400 x 300, EfficientNet-Lite0, four stages, both directions, {processes} processes for the CRF'
    with Workers(processes) as workers:
        yield Comparison('whole iteration', variants, reach=1.25, shapes=shapes, runs=5)
