"""Compare testing of an image through all stages with masks with the network alone."""

from collections.abc import Iterator

import torch
from _scenes import build_model
from benchmarks.frozen import photo_config
from comparison import Comparison
from mmengine.dataset import pseudo_collate

from mmlabelpenet.registry import DATASETS

IMAGES = 2


def comparisons(device: torch.device) -> Iterator[Comparison]:
    """The model for natural images with random heads, whose many low-scoring detections all get masks: the worst case."""
    config = photo_config()
    config.model.feature_cache = None
    model = build_model(config, device).eval()
    model.inference.refinement.min_score = 0.0
    dataset = DATASETS.build(config.label_dataloader.dataset)
    images = [model.data_preprocessor(pseudo_collate([dataset[index]])) for index in range(IMAGES)]

    def predict(**asked: object) -> None:
        for data in images:
            model.predict(data['inputs'], data['data_samples'], stages=model.names, **asked)

    variants = {'with masks': predict, 'boxes alone': lambda: predict(with_masks=False)}
    coarse, cut = dict(variants), model.inference.refinement.cut

    def without_cut() -> None:
        model.inference.refinement.cut = None
        predict()
        model.inference.refinement.cut = cut

    coarse['with masks'] = without_cut
    shapes = f'{IMAGES} images of 400 x 300, EfficientNet-Lite0, four stages, {model.inference.refinement.max_masks} masks each'
    yield Comparison('masks without refinement by colour', coarse, reach=1.5, shapes=shapes, runs=3)
    yield Comparison('masks', variants, reach=1.5, shapes=shapes, runs=3)
