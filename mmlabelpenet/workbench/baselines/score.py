"""Evaluate the trivial baselines with the metrics and the table of the trained stages.

The image classifier is trained on tags only. Besides evaluation, training boxes are used only to choose the threshold of the class
activation maps: the one with the best CorLoc on every tenth training image.

Shapes: C classes, K boxes, D channels, (h', w') feature map. Boxes: float32 xyxy in pixels of the network input.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor

from mmlabelpenet.apis.config import build_dataset, config_hash
from mmlabelpenet.apis.evaluators import stage_metric
from mmlabelpenet.apis.receipt import receipt
from mmlabelpenet.apis.test import add_missing
from mmlabelpenet.calibration.crf import build_crf
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.evaluation.metrics import StageMetric
from mmlabelpenet.evaluation.table import Table, merge_tables, write_metrics
from mmlabelpenet.files import require_place
from mmlabelpenet.models.inference.masks import rescale_result
from mmlabelpenet.progress import track
from mmlabelpenet.registry import METRICS
from mmlabelpenet.workbench.baselines.image_classifier import FeatureMaps, ImageClassifier, fit_image_classifier
from mmlabelpenet.workbench.baselines.places import METHODS, activation_masks, box_masks, chosen_boxes, mask_boxes

STEP_OF_CHOICE = 10  # every tenth training image
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Evidence:
    """Scores and maps of an image from a classifier.

    Attributes:
        scores: class scores, float (C,).
        maps: class activation maps, float (C, h', w').
    """

    scores: Tensor
    maps: Tensor


@dataclass(frozen=True)
class ImageScorer:
    """A classifier and its feature extractor."""

    reader: FeatureMaps
    classifier: ImageClassifier

    def __call__(self, data: dict) -> Evidence:
        """Scores and maps of a batch of one."""
        feature = self.reader(data)
        return Evidence(self.classifier.probs(feature.mean((1, 2))[None])[0], self.classifier.activation_maps(feature))


@dataclass(frozen=True)
class Baseline:
    """A method of localising the classes of an image.

    Attributes:
        method: one of ``METHODS``.
        threshold: threshold of class activation maps, as a fraction of their maximum.
        crf: as in configs, for class activation maps.
        min_score: class activation maps with lower class scores skip the CRF, as masks do at test time.
    """

    method: str
    seed: int = 0
    threshold: float = 0.2
    crf: dict | str | None = 'small'
    min_score: float = 0.05

    def predict(self, sample: DetDataSample, image: NDArray[np.uint8], evidence: Evidence, labels: Tensor) -> InstanceData:
        """One instance per class, in pixels of the original image.

        Args:
            sample: with ``proposals``.
            image: RGB uint8 (h, w, 3), the network input.
            labels: classes that get an instance, int64 (K,).
        """
        size = tuple(sample.img_shape[:2])
        if self.method == 'cam':
            crf = build_crf(self.crf)
            crfs = [crf if score >= self.min_score else None for score in evidence.scores[labels]]
            masks = activation_masks(image, evidence.maps[labels], self.threshold, crfs)
            bboxes = mask_boxes(masks)
        else:
            bboxes = chosen_boxes(self.method, sample.proposals.bboxes, size, len(labels), sample.img_id, self.seed)
            masks = box_masks(bboxes, size)
        found = InstanceData(bboxes=bboxes, scores=evidence.scores[labels], labels=labels, masks=masks)
        return rescale_result(found, sample)


def trivial_baselines(
    config: Config, methods: Sequence[str] = METHODS, seed: int = 0, crf: dict | str | None = 'small', out: str | Path | None = None
) -> Table:
    """Box and mask metrics on the test list, CorLoc on the training list.

    On the test list every class gets one instance, scored by the classifier; on the training list each tag gets one.

    Args:
        config: with ``test_dataloader``, ``corloc_dataloader`` (the training list without augmentation) and their evaluators.
        crf: CRF of class activation maps; None for none.
        out: JSON file for the table, with ``meta``.

    Returns:
        ``{method: {metric: percent or None, ..., 'per_class': {...}}, 'meta': {...}}``.

    Raises:
        ValueError: an unknown method or CRF preset.
        FileNotFoundError: no data, proposals or weights.
    """
    if unknown := sorted(set(methods) - set(METHODS)):
        raise ValueError(f'Trivial baselines are {", ".join(METHODS)}, got {", ".join(unknown)}.')
    build_crf(crf)  # rejects wrong settings before the classifier is trained
    require_place(out)
    start = time.monotonic()
    train, test = build_dataset(config, 'corloc'), build_dataset(config, 'test')
    reader = FeatureMaps(config.model)
    scorer = ImageScorer(reader, learn(reader, train))
    baselines = {method: Baseline(method, seed, crf=crf) for method in methods}
    meta: dict = dict(config=config.filename, config_sha256=config_hash(config), seed=seed, crf=crf, thresholds=None)
    if 'cam' in methods:
        tried = {f'{thr:g}': replace(baselines['cam'], threshold=thr) for thr in THRESHOLDS}
        found, _ = measure(config.corloc_evaluator, tried, scorer, train, range(0, len(train), STEP_OF_CHOICE))
        meta['thresholds'] = {thr: row['CorLoc_50'] for thr, row in found.items()}
        baselines['cam'] = tried[max(tried, key=lambda thr: meta['thresholds'][thr] or 0.0)]
        meta['threshold'] = baselines['cam'].threshold
    table, meta['test'] = measure(config.test_evaluator, baselines, scorer, test)
    located, meta['corloc'] = measure(config.corloc_evaluator, baselines, scorer, train)
    table = add_missing(merge_tables(table, located))
    meta |= receipt(start)
    if out is not None:
        write_metrics(out, table, meta)
    return {**table, 'meta': meta}


def learn(reader: FeatureMaps, dataset: VOCTags) -> ImageClassifier:
    """Train the image classifier on the tags of a list."""
    pooled, onehots = [], []
    for index in track(range(len(dataset)), 'images'):
        data = reader.data_preprocessor(pseudo_collate([dataset[index]]))
        pooled.append(reader(data).mean((1, 2)))
        onehots.append(data['data_samples'][0].gt_image_labels.onehot)
    return fit_image_classifier(torch.stack(pooled), torch.stack(onehots))


def measure(
    evaluator: dict, baselines: dict[str, Baseline], scorer: ImageScorer, dataset: VOCTags, indices: Sequence[int] | None = None
) -> tuple[Table, dict]:
    """Evaluate baselines on images of a data set.

    For CorLoc, each tag gets an instance; otherwise every class does, because tags of test images are unknown. For tags, only class
    activation maps need the classifier.

    Args:
        baselines: baselines by the name of their row.
        indices: indices of images; None for all.

    Returns:
        the table, and its provenance.
    """
    metric: StageMetric = METRICS.build(dict(stage_metric(evaluator), stages=list(baselines)))
    metric.dataset_meta = dataset.metainfo
    indices = range(len(dataset)) if indices is None else indices
    located = metric.protocol == 'corloc'
    blind = located and all(baseline.method != 'cam' for baseline in baselines.values())
    preprocessor = scorer.reader.data_preprocessor
    for index in track(indices, 'images'):
        data = preprocessor(pseudo_collate([dataset[index]]))
        (sample,), (image,) = data['data_samples'], preprocessor.images(data['inputs'], data['data_samples'])
        onehot = sample.gt_image_labels.onehot
        labels = onehot.nonzero().flatten() if located else torch.arange(len(onehot))
        evidence = Evidence(onehot, onehot[:, None, None]) if blind else scorer(data)
        evidence = replace(evidence, scores=onehot) if located else evidence
        found = {name: baseline.predict(sample, image, evidence, labels) for name, baseline in baselines.items()}
        metric.process(None, [dict(img_id=sample.img_id, stage_predictions=found)])
    metric.evaluate(len(indices))
    return metric.table, metric.meta
