"""Proposal calibration of one image: times of its parts, and the share spent outside the CRF and matrix products."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from _scenes import ROOT, build_model
from comparison import Comparison, clock
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, LabelData
from torch.utils._python_dispatch import TorchDispatchMode

from mmlabelpenet.apis.config import load_config
from mmlabelpenet.models.inference.views import View
from mmlabelpenet.ops import roi_pool

HEIGHT, WIDTH, PROPOSALS, TAGS = 375, 500, 1000, (3, 7, 14)
PRODUCTS = ('aten::mm', 'aten::addmm', 'aten::addmm_', 'aten::bmm', 'aten::convolution')


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """The classification stage of VGG-16 on 500 x 375 pixels, 1,000 proposals, 3 tags; the shared map is given.

    The parts are timed inside the whole: products are the stage's convolutions and linear layers and those of excitation backprop and
    pasting; the rest is RoI pooling, which is torchvision's and shown as a part, NMS, boxes of the masks, and copying.
    """
    config = load_config(ROOT / 'configs/labelpenet/labelpenet_vgg16_voc07.py')
    config.model.stages = dict(classification=config.model.stages.classification)
    model = build_model(config, device, pretrained=False).eval()
    stage = model.stages['classification']
    generator, feature = stage.labels, torch.rand(1, 512, HEIGHT // 8, WIDTH // 8, device=device)
    sample, image = scene(device)
    crf, products, pooling = Stopwatch(generator.crf), OperatorWatch(PRODUCTS), Stopwatch(roi_pool.roi_pool_forward)
    generator.crf = crf

    def run() -> None:
        with products, patch.object(roi_pool, 'roi_pool_forward', pooling):  # which may run in several threads
            (reading,) = stage.read([View(feature, sample)])
            generator.label(image, stage.explain(reading))

    def parts() -> Mapping[str, float]:
        return {'matrix products': products.take(), 'CRF': crf.take(), 'RoI pooling': pooling.take()}

    def share(seconds: Mapping[str, float]) -> float:
        return 1 - (seconds['matrix products'] + seconds['CRF']) / seconds['whole']

    def prepare() -> None:
        products.take(), crf.take(), pooling.take()

    shapes = f'{WIDTH} x {HEIGHT} pixels, {PROPOSALS} proposals, {len(TAGS)} tags, VGG-16, CRF of 10 iterations at full size'
    settings = dict(ratio=share, parts=parts, prepare=prepare, shapes=shapes, runs=5)
    yield Comparison('share outside products and CRF', {'whole': run}, reach=0.15, **settings)


def scene(
    device: torch.device,
    height: int = HEIGHT,
    width: int = WIDTH,
    proposals: int = PROPOSALS,
    tags: Sequence[int] = TAGS,
    classes: int = 20,
) -> tuple[DetDataSample, np.ndarray]:
    """An image of soft blobs, and random proposals with tags."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    corners = np.sort(rng.uniform(0, 1, (4 * proposals, 2, 2)), axis=1).reshape(-1, 4) * (width, height, width, height)
    corners = corners[(corners[:, 2:] - corners[:, :2]).min(1) > 20][:proposals]
    sample = DetDataSample(
        metainfo=dict(
            img_id='blobs', img_shape=(height, width), pad_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)
        )
    )
    sample.proposals = InstanceData(bboxes=torch.tensor(corners, dtype=torch.float32), scores=torch.ones(len(corners)))
    onehot = torch.zeros(classes)
    onehot[list(tags)] = 1
    sample.gt_image_labels = LabelData(onehot=onehot)
    return sample.to(device), image


class Stopwatch:
    """Total seconds of a function over its calls, by a given clock."""

    def __init__(self, function: Callable, clock: Callable[[], float] = clock) -> None:
        self.function, self.clock, self.seconds = function, clock, 0.0

    def __call__(self, *args: Any) -> Any:
        start = self.clock()
        try:
            return self.function(*args)
        finally:
            self.seconds += self.clock() - start

    def take(self) -> float:
        """The seconds so far; starts again at 0."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class OperatorWatch(TorchDispatchMode):
    """Seconds of some operators inside the block.

    Args:
        names: such as ``aten::mm``, without their overloads.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names, self.seconds = names, 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function.name().split('.')[0] not in self.names:
            return function(*args, **(kwargs or {}))
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        start = clock()
        out = function(*args, **(kwargs or {}))
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.seconds += clock() - start
        return out

    def take(self) -> float:
        """The seconds so far; starts again at 0."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds
