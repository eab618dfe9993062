"""The metric for test and validation loops: evaluates every stage from the predictions of one forward pass.

Predictions are in pixels of the original image, boxes 0-based and half-open.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmlabelpenet.schema import counted

from ..log import warn
from ..registry import METRICS
from .devkit import Devkit, Objects, ResultNames, open_devkit
from .dump import Dump
from .functional import encode_masks
from .scoring import Prediction, Record, Settings, Truth, score_image, summarise
from .table import Table, make_row, text_table

PROTOCOLS = {'test': ('bbox', 'segm', 'abo', 'miou'), 'corloc': ('corloc',)}


@METRICS.register_module()
class StageMetric(BaseMetric):
    """Evaluates boxes, masks and semantic maps of each stage with the paper's metrics.

    Each sample has ``img_id`` and ``stage_predictions``: a dict stage -> ``InstanceData`` or dict with ``bboxes`` (n, 4),
    ``scores`` (n,), ``labels`` (n,) and, if the stage has them, ``masks`` (bool (n, h, w) or COCO RLE), or None. A model without stages,
    such as mmdet's, provides ``pred_instances`` instead, which fill the row of the last of ``stages``. Each image is evaluated immediately,
    so only small arrays are kept and exchanged between ranks. After :meth:`evaluate`, the main process has the whole table in ``table``
    (also per class) and its provenance in ``meta``.

    Args:
        data_root: folder with ``Annotations``, ``ImageSets``, ...
        split: list of evaluated images; its order also breaks ties between equal scores.
        stages: stages that get a row; None uses the predicted ones.
        protocol: 'test' (box AP, mask AP, ABO, mIoU) or 'corloc' (CorLoc only, for a training split).
        metric: one or several metric groups of the protocol; None for all. With ``()``, as for a test list whose annotations are on a
            server, no annotation is read and only ``dump`` is written.
        box_iou_thrs: one or several thresholds of box AP; the first one is also used for CorLoc.
        mask_iou_thrs: one or several thresholds of mask AP.
        semantic_score_thr: minimum score of an instance in the semantic map of mIoU.
        legacy: boxes include their last pixel ("+1" widths), as in VOC's files; keys of box metrics then end in ``_legacy``.
        mask_classes: classes of the indices in the class masks; VOC's by default.
        dump: file for predictions as COCO-format results (:mod:`~.dump`).
        collect_device: as in mmengine.
        prefix: as in mmengine.
        collect_dir: as in mmengine.

    Raises:
        ValueError: unknown protocol or metric group, no threshold, one outside (0, 1], or another ``collect_device`` than cpu or gpu.
    """

    def __init__(
        self, data_root: str, split: str, stages: Sequence[str] | None = None, protocol: str = 'test',
        metric: str | Sequence[str] | None = None,
        box_iou_thrs: float | Sequence[float] = (0.5,), mask_iou_thrs: float | Sequence[float] = (0.25, 0.5, 0.7, 0.75),
        semantic_score_thr: float = 0.3, legacy: bool = False, mask_classes: Sequence[str] | None = None, dump: str | None = None,
        collect_device: str = 'cpu', prefix: str | None = None, collect_dir: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if collect_device not in ('cpu', 'gpu'):
            raise ValueError(f"collect_device must be 'cpu' or 'gpu', got {collect_device!r}.")
        if protocol not in PROTOCOLS:
            raise ValueError(f'The protocol must be one of {tuple(PROTOCOLS)}, got {protocol!r}.')
        groups = PROTOCOLS[protocol] if metric is None else (metric,) if isinstance(metric, str) else tuple(metric)
        unknown = sorted(set(groups) - set(PROTOCOLS[protocol]))
        if unknown:
            raise ValueError(f'Protocol {protocol!r} has the metric groups {PROTOCOLS[protocol]}, got {unknown}.')
        self.data_root, self.split, self.stages, self.protocol = data_root, split, tuple(stages or ()), protocol
        self._fixed = bool(self.stages)
        # The number of classes is not known yet, but invalid values are reported now instead of after the first batch.
        thrs = [tuple(given) if isinstance(given, Sequence) else (given,) for given in (box_iou_thrs, mask_iou_thrs)]
        self._settings = Settings(1, groups, *thrs, semantic_score_thr, legacy)
        self.mask_classes = mask_classes
        self.table: Table = {}
        self.meta: dict[str, Any] = {}
        self._dump_to, self._dump = dump, None
        self._devkit: Devkit | None = None
        self._names: ResultNames | None = None
        self._order: dict[str, int] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, from the data set's metainfo."""
        if not self.dataset_meta or 'classes' not in self.dataset_meta:
            raise ValueError("The metric needs dataset_meta['classes']. Set metric.dataset_meta = dataset.metainfo before evaluation.")
        return tuple(self.dataset_meta['classes'])

    @property
    def settings(self) -> Settings:
        """What is measured."""
        return replace(self._settings, num_classes=len(self.classes))

    def _open(self) -> Devkit:
        if self._devkit is None:
            self._devkit = open_devkit(self.data_root, self.classes, self.mask_classes)
            self._order = {image_id: index for index, image_id in enumerate(self._devkit.image_ids(self.split))}
        return self._devkit

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Evaluate a batch.

        Args:
            data_batch: not used.
            data_samples: one for each image, with ``img_id`` and ``stage_predictions``.

        Raises:
            KeyError: an image that is not in the split.
            ValueError: invalid predictions; the message names image and stage.
        """
        devkit, settings = self._open(), self.settings
        if not self._fixed and not self.results:  # first images of a validation; more stages may be trained by the next one
            self.stages = tuple(data_samples[0].get('stage_predictions') or ['result'])
        if self._dump_to is not None and self._dump is None:
            self._dump = Dump(self._dump_to, self.stages, get_rank())
        for sample in data_samples:
            image_id, predictions = str(sample['img_id']), sample.get('stage_predictions')
            if predictions is None:  # a model without stages
                predictions = {self.stages[-1]: sample['pred_instances']}
            if image_id not in self._order:
                raise KeyError(f'Image {image_id!r} is not in split {self.split!r} of {self.data_root}. Use one split for data and metric.')
            truth = read_truth(devkit, image_id, settings)
            records: dict[str, Record | None] = {}
            for stage in self.stages:
                fields = predictions.get(stage)
                try:
                    records[stage] = None if fields is None else self._score(stage, image_id, read_prediction(fields), truth)
                except ValueError as error:
                    raise ValueError(f'Image {image_id!r}, stage {stage!r}: {error}') from error
            known = {'instance_masks': truth.masks is not None, 'class_masks': truth.class_mask is not None}
            self.results.append({'img_id': image_id, 'stages': records, **known})

    def _score(self, stage: str, image_id: str, prediction: Prediction, truth: Truth) -> Record:
        record = score_image(prediction, truth, self.settings)
        if self._dump is not None:
            self._names = self._names or self._open().result_names(self.split)
            self._dump.add(stage, image_id, prediction, self._names)
        return record

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Combine the results of all images.

        Args:
            results: what :meth:`process` stored, of all ranks.

        Returns:
            ``stage/metric`` -> percent, without null values; the whole table is in ``table``.

        Raises:
            ValueError: an image was evaluated twice, or a stage predicted only some of the images.
        """
        results = sorted(results, key=lambda result: self._order[result['img_id']])
        ids = [result['img_id'] for result in results]
        twice = sorted({first for first, second in itertools.pairwise(ids) if first == second})
        if twice:
            raise ValueError(f'Each image must be evaluated once, got {twice[:5]} twice.')
        if len(ids) < len(self._order):
            number = counted(len(ids), f'image of {self.split!r}', 'was', of=len(self._order))
            warn(f'Only {number} evaluated.')
        self.table = {stage: self._row(stage, results) for stage in self.stages}
        self.meta = {
            'protocol': self.protocol,
            'data': Path(self.data_root).resolve().name,
            'split': self.split,
            'images': len(ids),
            'images_in_split': len(self._order),
            'images_with_instance_masks': sum(result['instance_masks'] for result in results),
            'images_with_class_masks': sum(result['class_masks'] for result in results),
            'semantic_score_thr': self._settings.semantic_score_thr,
        }
        if self._dump is not None:
            self.meta['dump'] = [str(path) for path in self._dump.finish(self._order, get_world_size())]
        columns = [key for key in self.settings.keys() if any(row[key] is not None for row in self.table.values())]
        print_log(f'{self.protocol} on {self.split}, percent:\n{text_table(self.table, columns)}', 'current')
        flat = {f'{stage}/{key}': value for stage, row in self.table.items() for key, value in row.items() if key != 'per_class'}
        return {key: value for key, value in flat.items() if value is not None}

    def _row(self, stage: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        records = [result['stages'][stage] for result in results if result['stages'][stage] is not None]
        if records and len(records) < len(results):
            raise ValueError(
                f'Stage {stage!r} predicted only {counted(len(records), "image", of=len(results))}. '
                'A stage must predict all images or none.'
            )
        try:
            return make_row(summarise(records, self.settings), self.classes)
        except ValueError as error:
            raise ValueError(f'Stage {stage!r}: {error}') from error


def read_truth(devkit: Devkit, image_id: str, settings: Settings) -> Truth:
    """Read the parts of an image's ground truth that the settings require.

    Args:
        devkit: the data set.
        image_id: name of the image.
        settings: the metrics.

    Returns:
        The ground truth; masks are None if the image has none or they are not needed, boxes are empty if nothing is measured.
    """
    nothing = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    objects = devkit.objects(image_id) if settings.groups else nothing
    instances = devkit.instance_masks(image_id) if {'segm', 'abo'} & set(settings.groups) else None
    return Truth(
        bboxes=objects.bboxes,
        labels=objects.labels,
        difficult=objects.difficult,
        mask_labels=None if instances is None else instances.labels,
        masks=None if instances is None else encode_masks(instances.masks),
        class_mask=devkit.class_mask(image_id) if 'miou' in settings.groups else None,
    )


def read_prediction(fields: Any) -> Prediction:
    """Extract predictions of one image from an ``InstanceData`` or a dict; masks become RLE.

    Args:
        fields: with ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,) and optionally ``masks``; tensors or arrays.

    Returns:
        Copies as arrays.

    Raises:
        ValueError: a field is missing or has another shape.

    >>> read_prediction({'bboxes': [[0, 0, 2, 2]], 'scores': [0.5], 'labels': [1]}).labels.tolist()
    [1]
    """
    fields = dict(fields.items())
    missing = sorted({'bboxes', 'scores', 'labels'} - set(fields))
    if missing:
        raise ValueError(f'Predictions need bboxes, scores and labels; missing: {", ".join(missing)}.')
    masks = fields.get('masks')
    if masks is not None:
        masks = getattr(masks, 'masks', masks)  # BitmapMasks
        masks = list(masks) if len(masks) and isinstance(masks[0], Mapping) else encode_masks(_array(masks)) if len(masks) else []
    return Prediction(
        bboxes=_array(fields['bboxes']).astype(np.float64).reshape(-1, 4),
        scores=_array(fields['scores']).astype(np.float64).reshape(-1),
        labels=_array(fields['labels']).astype(np.int64).reshape(-1),
        masks=masks,
    )


def _array(value: Any) -> NDArray:
    return value.detach().cpu().numpy() if hasattr(value, 'detach') else np.asarray(value)
