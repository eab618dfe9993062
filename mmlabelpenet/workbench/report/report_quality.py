"""Measurements in the report: results per class, improvement from stage to stage compared with the paper, labels, best and worst images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.workbench.experiments.collected_tables import paper_tables
from mmlabelpenet.workbench.experiments.store_quality import store_quality
from mmlabelpenet.workbench.report.comparison import confusions
from mmlabelpenet.workbench.report.page import number
from mmlabelpenet.workbench.report.run import Run
from mmlabelpenet.workbench.report.tiles import Painter, Tile

METRICS = {
    'bbox_mAP_50_11point': 'box mAP, 11 points',
    'bbox_mAP_50_area': 'box mAP, area',
    'CorLoc_50': 'CorLoc',
    'segm_mAP_25_area': 'mask mAP 25',
    'segm_mAP_50_area': 'mask mAP 50',
    'segm_mAP_70_area': 'mask mAP 70',
    'segm_mAP_75_area': 'mask mAP 75',
    'ABO_class': 'ABO',
    'mIoU': 'mIoU',
}
HEADLINE = {'bbox_mAP_50_11point': 'box mAP at 0.5', 'segm_mAP_50_area': 'mask mAP at 0.5', 'mIoU': 'mIoU', 'CorLoc_50': 'CorLoc'}
PER_CLASS = ('bbox_mAP_50_11point', 'CorLoc_50', 'segm_mAP_50_area', 'mIoU')
LIFT = dict(own='box mAP, here', own_share='share of the last stage', paper='box mAP, paper', paper_share='share of the last stage')
QUALITY = {
    'precision_50': 'precision',
    'recall_50': 'recall',
    'precision_weighted_50': 'precision, weighted',
    'box_iou': 'mean box IoU',
    'box_iou_weighted': 'mean box IoU, weighted',
    'mask_iou': 'mean mask IoU',
    'mask_iou_weighted': 'mean mask IoU, weighted',
}

Table = Mapping[str, Mapping[str, Any]]
Rows = list[tuple[str, list[Tile]]]


def headline(table: Table) -> dict[str, str]:
    """Results of the first and the last stage by name; none if no stage was evaluated."""
    ends = [list(table.values())[index] for index in (0, -1)] if table else []
    return {name: ' → '.join(number(row.get(key)) for row in ends) for key, name in HEADLINE.items() if ends}


def per_class(table: Table) -> dict[str, tuple[dict[str, str], dict[str, Mapping]]]:
    """Columns and rows of a table for each metric with per-class values."""
    found = {}
    for metric in PER_CLASS:
        rows = {stage: row['per_class'].get(metric, {}) for stage, row in table.items()}
        if names := list(dict.fromkeys(name for row in rows.values() for name in row)):
            found[METRICS[metric]] = ({name: name for name in names}, rows)
    return found


def paper_map() -> dict[str, float]:
    """The paper's box mAP on VOC 2007 after cascaded pre-training, by stage (Table 1).

    >>> paper_map()
    {'classification': 26.9, 'detection': 39.1, 'refinement': 49.7, 'segmentation': 51.3}
    """
    rows = next(table['rows'] for table in paper_tables()['tables'] if table['number'] == 1)
    return {row['stage']: row['values']['bbox_mAP_50_11point'] for row in rows if row['own'] and row['phase'] == 'cascaded'}


def lift(table: Table) -> dict[str, dict[str, float | None]]:
    """Box mAP of each stage divided by that of the last stage, ours and the paper's; none if no stage was evaluated."""
    columns = dict(own={stage: row.get('bbox_mAP_50_11point') for stage, row in table.items()}, paper=paper_map())
    rows: dict[str, dict[str, float | None]] = {stage: {} for stage in table}
    for name, values in columns.items():
        known = {stage: value for stage, value in values.items() if value is not None}
        last = next((value for value in reversed(known.values()) if value), None)
        if last is None:
            return {}
        for stage, row in rows.items():
            row |= {name: known.get(stage), f'{name}_share': 100 * known[stage] / last if stage in known else None}
    return rows


def label_counts(run: Run) -> list[list[str]]:
    """Stage, number of pseudo instances, number per image and mean weight of each store."""
    rows = []
    for name, store in run.stores.items():
        weights = [annotation['weight'] for annotation in store.content['annotations']]
        mean = f'{np.mean(weights):.2f}' if weights else '–'
        rows.append([name, str(len(weights)), f'{len(weights) / max(len(store), 1):.2f}', mean])
    return rows


def label_quality(run: Run) -> tuple[dict[str, str], Table]:
    """Columns and rows of pseudo-label quality; no row unless every image has annotations."""
    table = {name: store_quality(store, run.devkit())[0] for name, store in run.stores.items()} if run.annotated else {}
    return {key: name for key, name in QUALITY.items() if any(key in row for row in table.values())}, table


def confusion_rows(run: Run) -> list[list[str]]:
    """What the last labels lie on, with a header row first; none if no image has annotations."""
    if not run.comparisons:
        return []
    pairs = [([item['bbox_label'] for item in instances], found) for instances, found in run.comparisons.values()]
    table = confusions(pairs, len(run.classes)).tolist()
    rows = [[name, *map(str, row)] for name, row in zip([*run.classes, 'not found'], table, strict=True)]
    return [['label', *run.classes, 'nothing'], *rows]


def best_and_worst(run: Run, width: int, count: int = 3) -> dict[str, Rows]:
    """Training images whose last labels fit best and worst, with their annotations; none if fewer than two have annotations."""
    scored = sorted((found.score, name) for name, (_, found) in run.comparisons.items() if found.score == found.score)
    if len(scored) < 2:
        return {}
    count = min(count, len(scored) // 2)
    stage, store = list(run.stores.items())[-1]
    devkit = run.devkit()

    def row(score: float, name: str) -> tuple[str, list[Tile]]:
        image = read_rgb(devkit.image_path(name))
        painter = Painter(image, run.classes, width / image.shape[1])
        return f'{name}: {score:.2f}', [painter.stored_labels(stage, store.instances(name)), painter.truth(devkit, name)]

    return {'Best': [row(*item) for item in scored[: -count - 1 : -1]], 'Worst': [row(*item) for item in scored[:count]]}
