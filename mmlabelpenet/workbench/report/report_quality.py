"""Parts of the report that measure: the lift from stage to stage beside the paper's, labels, confusions, best and worst images."""

from collections.abc import Mapping

import numpy as np

from mmlabelpenet.datasets.pictures import read_picture
from mmlabelpenet.structures import STAGES
from mmlabelpenet.visualization.drawing import class_colours
from mmlabelpenet.workbench.experiments.store_quality import store_quality
from mmlabelpenet.workbench.report import page as html
from mmlabelpenet.workbench.report.comparison import confusions
from mmlabelpenet.workbench.report.panels import label_tiles, truth_tile
from mmlabelpenet.workbench.report.run import Run

PAPER = dict(zip(STAGES, (26.9, 39.1, 49.7, 51.3)))  # box mAP on VOC 2007 test after cascaded pre-training (paper Sec. 4.5)
QUALITY = {
    'precision_50': 'precision',
    'recall_50': 'recall',
    'precision_weighted_50': 'precision, weighted',
    'box_iou': 'mean box IoU',
    'box_iou_weighted': 'mean box IoU, weighted',
    'mask_iou': 'mean mask IoU',
    'mask_iou_weighted': 'mean mask IoU, weighted',
}


def lift(metrics: Mapping[str, Mapping]) -> str:
    """Box mAP of each stage as a share of the last one's, ours and the paper's; nothing where no stage was measured."""
    ours = {stage: metrics[stage].get('bbox_mAP_50_11point') for stage in STAGES if stage in metrics}
    last = next((ours[stage] for stage in reversed(STAGES) if ours.get(stage)), None)
    if last is None:
        return ''
    columns = dict(own='box mAP, here', own_share='share of the last stage', paper='box mAP, paper', paper_share='share of the last stage')
    rows = {
        stage: dict(
            own=value,
            own_share=None if value is None else 100 * value / last,
            paper=PAPER[stage],
            paper_share=100 * PAPER[stage] / PAPER['segmentation'],
        )
        for stage, value in ours.items()
    }
    return (
        '<h3>The lift from stage to stage, beside the paper’s</h3><p>The paper’s numbers are those of VGG-16 on VOC 2007 after 200,000 '
        'iterations. Data, network and schedule here are others, so only the shape compares: how much of the last stage’s mAP each stage '
        f'has.</p>{html.metrics_table(rows, columns)}'
    )


def label_quality(run: Run) -> str:
    """Numbers of the pseudo labels of each phase, and how good they are where the training images have annotations."""
    if not run.stores:
        return ''
    rows = []
    for name, store in run.stores.items():
        weights = [annotation['weight'] for annotation in store.content['annotations']]
        mean = f'{np.mean(weights):.2f}' if weights else '–'
        rows.append([name, str(len(weights)), f'{len(weights) / max(len(store), 1):.2f}', mean])
    text = html.simple_table(['labels of', 'instances', 'per image', 'mean weight'], rows)
    head = '<h3>Pseudo labels handed on in the cascade</h3>'
    if not run.annotated:
        return f'{head}{text}<p class="note">The training images have no annotations, so the labels are not measured.</p>'
    table = {name: store_quality(store, run.devkit())[0] for name, store in run.stores.items()}
    return (
        f'{head}{text}<p>Against the annotations of the training images, in percent, mean over classes; a box is right from IoU 0.5 on.</p>'
        f'{html.metrics_table(table, {key: name for key, name in QUALITY.items() if any(key in row for row in table.values())})}'
    )


def confusion_table(run: Run) -> str:
    """What the last labels lie on."""
    if not run.comparisons:
        return ''
    classes = run.classes
    pairs = [([item['bbox_label'] for item in instances], found) for instances, found in run.comparisons.values()]
    table = confusions(pairs, len(classes))
    names = [*classes, 'nothing']
    rows = [[name if name != 'nothing' else 'not found', *map(str, row)] for name, row in zip(names, table.tolist())]
    return (
        f'<h3>Confusions of the last labels</h3><p>Rows: what a label says. Columns: the object that its box covers best, from IoU 0.5 on. '
        f'Last row: objects that no label of their class finds. {len(run.comparisons)} training images.</p>'
        f'{html.simple_table(["label", *names], rows)}'
    )


def best_and_worst(run: Run, width: int, count: int = 3) -> str:
    """Training images whose last labels fit best and worst, beside their annotations."""
    scored = sorted((found.score, name) for name, (_, found) in run.comparisons.items() if found.score == found.score)
    if len(scored) < 2:
        return ''
    count = min(count, len(scored) // 2)
    stage, store = list(run.stores.items())[-1]
    devkit, colours = run.devkit(), class_colours(len(run.classes))
    groups: dict[str, str] = {}
    for title, chosen in (('Best', scored[: -count - 1 : -1]), ('Worst', scored[:count])):
        rows = []
        for score, name in chosen:
            picture = read_picture(devkit.image_path(name))
            scale = width / picture.shape[1]
            tiles = label_tiles(picture, name, run.classes, colours, {stage: store}, scale)
            rows.append(html.tile_row(f'{name}: {score:.2f}', [*tiles, truth_tile(picture, devkit, name, colours, scale)]))
        groups[title] = f'<h3>{title}</h3><div class="pairs">{"".join(rows)}</div>'
    return (
        '<h2>Best and worst labels</h2><p>Training images by the mean IoU of their labels with the nearest object of their class, '
        f'objects without a label counting 0; the labels are those of {stage}.</p>{"".join(groups.values())}'
    )
