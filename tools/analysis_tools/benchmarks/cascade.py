"""Compare a cascade iteration with one of a plain mmdet detector with the same layers, frozen features and labels."""

import copy
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from _scenes import LABELS, build_model, draw_batch, optimizer_of, rendered_config, rendered_data, training_set
from comparison import Comparison
from mmdet.models.dense_heads import RPNHead
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmlabelpenet.registry import DATASETS, MODELS

BATCHES = 4  # in turn

PLAIN = dict(  # mmdet's counterparts of our heads
    WeightedRPNHead='FirstMapRPNHead',
    WeightedBBoxHead='mmdet.ConvFCBBoxHead',
    WeightedMaskHead='mmdet.FCNMaskHead',
    WeightedRandomSampler='mmdet.RandomSampler',
)


@MODELS.register_module(force=True)
class FirstMapRPNHead(RPNHead):
    """mmdet's RPN on the first map of the tail; the original needs one map per level."""

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """As mmdet's."""
        return super().forward(x[:1])


@MODELS.register_module(force=True)
class FrozenThenTail(torch.nn.Module):
    """A frozen backbone and a tail as the one backbone of a detector."""

    def __init__(self, frozen: dict, tail: dict) -> None:
        super().__init__()
        self.frozen, self.tail = MODELS.build(frozen), MODELS.build(tail)

    def init_weights(self) -> None:
        """ImageNet weights, as the whole network has them."""
        self.frozen.init_weights()
        self.tail.init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (N, 3, H, W) to the tail's maps."""
        with torch.no_grad():
            x = self.frozen(x)[-1]
        return self.tail(x)


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """Batches of 4 rendered images at 320 x 240 and 400 x 300, including data loading; ours with a warm feature cache."""
    folder = tempfile.TemporaryDirectory(prefix='benchmark_cache_')
    config = rendered_config(rendered_data())
    config.model.feature_cache = dict(dir=folder.name)
    size = config.train_dataloader.batch_size
    model = build_model(config, device)
    optimizer, dataset = optimizer_of(config, model), training_set(config)
    for name in ('detection', 'refinement', 'segmentation'):
        ours = Variant(model, optimizer, lambda number, name=name: draw_batch(dataset, number, size) | dict(trains=name))
        plain = build_plain(config, name, device)
        images = plain_dataset(config)
        for _ in range(BATCHES):
            ours()  # fills the cache
        theirs = Variant(plain, optimizer_of(config, plain), lambda number, images=images: plain_batch(images, number, size))
        shapes = f'{size} images of 320 x 240 or 400 x 300, EfficientNet-Lite0, {len(dataset)} images in turn'
        yield Comparison(f'{name} phase', {'Label-PEnet': ours, 'plain mmdet': theirs}, reach=0.65, shapes=shapes, runs=12, warmup=2)


class Variant:
    """One iteration for each call: load, forward, backward, update."""

    def __init__(self, model: torch.nn.Module, optimizer: object, load: Callable[[int], dict]) -> None:
        self.model, self.optimizer, self.load, self.number = model, optimizer, load, 0

    def __call__(self) -> None:
        torch.manual_seed(self.number % BATCHES)
        self.model.train_step(self.load(self.number % BATCHES), optim_wrapper=self.optimizer)
        self.number += 1


def build_plain(config: Config, name: str, device: torch.device) -> torch.nn.Module:
    """mmdet's Faster or Mask R-CNN with the layers of one stage."""
    stage = plain_config(config.model.stages[name].detector.to_dict())
    stage['roi_head']['bbox_head']['num_classes'] = config.model.num_classes
    if stage['roi_head'].get('mask_head'):
        stage['roi_head']['mask_head']['num_classes'] = config.model.num_classes
    stage['backbone'] = dict(type='FrozenThenTail', frozen=config.model.backbone.to_dict(), tail=stage['backbone'])
    preprocessor = config.model.data_preprocessor.to_dict() | dict(type='mmdet.DetDataPreprocessor', pad_mask=True)
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(stage, data_preprocessor=preprocessor))
    model.init_weights()
    return model.to(device).train()


def plain_config(part: object) -> object:
    """A stage's config with mmdet's types instead of ours."""
    if isinstance(part, dict):
        changed = {key: plain_config(value) for key, value in part.items() if key != 'objectness'}
        if 'type' in changed:
            if changed['type'] == 'WeightedRPNHead':
                changed['loss_cls'] = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
            if changed['type'] == 'WeightedBBoxHead':
                changed['reg_decoded_bbox'] = False
            changed['type'] = PLAIN.get(changed['type'], changed['type'])
        return changed
    return [plain_config(item) for item in part] if isinstance(part, (list, tuple)) else part


def plain_dataset(config: Config) -> torch.utils.data.Dataset:
    """mmdet's COCO data set on the label store, with the same augmentation."""
    ours = config.train_dataloader.dataset
    (augment,) = [step for step in ours.pipeline if step.type == 'ProposalBroadcaster']
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        *copy.deepcopy(augment.transforms),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip')),
    ]
    root = Path(ours.data_root)
    labels = dict(ann_file=str(root.parent / LABELS), data_prefix=dict(img=str(root / 'JPEGImages')), metainfo=ours.metainfo)
    return DATASETS.build(dict(type='mmdet.CocoDataset', filter_cfg=None, pipeline=pipeline, **labels))


def plain_batch(dataset: torch.utils.data.Dataset, number: int, size: int) -> dict:
    """The images and random numbers of ``draw_batch``."""
    loaded = []
    for k in range(number * size, (number + 1) * size):
        random.seed(k)
        np.random.seed(k)
        loaded.append(dataset[k % len(dataset)])
    return pseudo_collate(loaded)
