"""The report of a training: ``report.html`` in its work dir, one file that needs no other."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mmlabelpenet.files import atomic_write
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.report import page as html
from mmlabelpenet.workbench.report.curves import legend, line_chart, phase_curves, read_scalars
from mmlabelpenet.workbench.report.panels import panel
from mmlabelpenet.workbench.report.report_facts import reproduction, supervision, time_and_memory
from mmlabelpenet.workbench.report.report_quality import best_and_worst, confusion_table, label_quality, lift
from mmlabelpenet.workbench.report.run import Run

WIDTH = 420  # of pictures, in pixels


def write_report(work_dir: str | Path, test_images: int = 8, train_images: int = 5) -> Path:
    """Write ``report.html``; it appears whole or not at all.

    Args:
        work_dir: of a finished training; ``metrics.json`` and ``quickstart.json`` are read where they are.
        test_images: how many images of the test split are shown.
        train_images: how many of the training split.

    Returns:
        the path of the report.

    Raises:
        FileNotFoundError: no training in the work dir, or its data are gone.
    """
    run = Run(work_dir)
    shown = pictures(run, test_images, train_images)
    sections = [summary(run), results(run), *shown, best_and_worst(run, WIDTH), training(run), supervision(run), reproduction(run)]
    path = run.folder / 'report.html'
    with atomic_write(path) as file:
        file.write(html.page('Label-PEnet: from image tags to boxes and masks', '\n'.join(sections)))
    return path


def summary(run: Run) -> str:
    """What was done, and the last stage's numbers."""
    classes = ', '.join(run.classes)
    data = run.config.train_dataloader.dataset
    text = (
        f'<p>Trained on the split <i>{escape(data.split)}</i> of <i>{escape(data.data_root)}</i> ({escape(classes)}) from '
        'image tags and class-free proposals. No box and no mask that a human drew was read in training; they serve to measure only.</p>'
    )
    rows = [row for stage, row in run.metrics.items() if stage != 'meta']
    if not rows:
        return text
    names = {'bbox_mAP_50_11point': 'box mAP at 0.5', 'segm_mAP_50_area': 'mask mAP at 0.5', 'mIoU': 'mIoU', 'CorLoc_50': 'CorLoc'}
    values = {f'{name}, first → last stage': [html.number(row.get(key)) for row in (rows[0], rows[-1])] for key, name in names.items()}
    return text + html.facts({name: ' → '.join(pair) for name, pair in values.items()})


def results(run: Run) -> str:
    """The table, and per class behind a click."""
    if not run.metrics:
        return '<h2>Results</h2><p class="note">Not tested: no metrics.json in the work dir.</p>'
    per_class = ''.join(html.class_table(run.metrics, key) for key in ('bbox_mAP_50_11point', 'CorLoc_50', 'segm_mAP_50_area', 'mIoU'))
    meta = run.metrics.get('meta', {})
    count = (meta.get('test') or {}).get('images', '?')
    return (
        f'<h2>Results</h2><p>In percent, on {count} test images; CorLoc on the training images. Each stage learns from the labels of the '
        'one before it. Masks of the first two stages come from their attention maps.</p>'
        f'{html.metrics_table(run.metrics)}<details><summary>Per class</summary>{per_class}</details>{lift(run.metrics)}'
    )


def pictures(run: Run, test_images: int, train_images: int) -> list[str]:
    """The two galleries."""
    model = run.model()
    test, train = (DATASETS.build(run.config[f'{name}_dataloader'].dataset) for name in ('test', 'label'))
    unseen = [gallery(run, model, test, index, ('truth', 'prediction'), 'test', 'five') for index in spread(len(test), test_images)]
    kinds = ('input', 'attention', 'labels', 'prediction', 'truth')
    seen = [gallery(run, model, train, index, kinds, 'label') for index in spread(len(train), train_images)]
    colours = html.colour_legend(test.metainfo['classes'])
    return [
        '<h2>Test images</h2><p>Ground truth, then what each stage finds: detections from a score of 0.3 on; of the classification stage, '
        f'whose scores only rank, those from 0.3 times the best on, at most five.</p>{colours}{"".join(unseen)}',
        '<h2>Training images</h2><p>The tags that were given; where the classification stage looks for each tag (its attention after all '
        'training); the pseudo labels that each stage handed on in the cascade, with their weights w in the losses; what the stages '
        f'find in the end; and the ground truth, which training never saw.</p>{colours}{"".join(seen)}',
    ]


def gallery(run: Run, model: LabelPENet, dataset: Any, index: int, kinds: Sequence[str], loader: str, name: str = '') -> str:
    """One image's row."""
    data, classes = dataset[index], dataset.metainfo['classes']
    sample = data['data_samples']
    scale = WIDTH / sample.ori_shape[1]
    tiles = panel(model, data, classes, run.stores, run.devkit(loader), kinds, scale=scale)
    ordered = sorted(tiles, key=lambda tile: tile.kind != 'truth') if name == 'five' else tiles
    return html.tile_row(sample.img_id, ordered, name)


def spread(length: int, count: int) -> list[int]:
    """Indices evenly over a data set.

    >>> spread(10, 3), spread(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return sorted({int(index) for index in np.linspace(0, length - 1, min(count, length)).round()})


def training(run: Run) -> str:
    """Loss curves of each phase, what was handed on, and what it took."""
    charts = []
    for name, series in phase_curves(read_scalars(run.folder), run.config.train_cfg.get('phases', [])):
        chart = line_chart(series, f'losses of phase {name}')
        charts.append(f'<div class="chart"><h3>{escape(name)}</h3>{chart}{legend(list(series))}</div>')
    return (
        '<h2>Training</h2><p>Losses over iterations, phase by phase (means over the logging window). In the recurrent phase each line is '
        f'the sum of a stage\'s losses in one direction.</p><div class="charts">{"".join(charts)}</div>'
        f'{label_quality(run)}{confusion_table(run)}{time_and_memory(run)}'
    )
