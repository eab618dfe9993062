"""The report of a training: ``report.html`` in its work dir, one file that needs no other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmlabelpenet.datasets.samplers import evenly_spread
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.progress import track
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.report import report_facts as facts
from mmlabelpenet.workbench.report import report_quality as quality
from mmlabelpenet.workbench.report.curves import chart, loss_curves, phase_lines, read_scalars
from mmlabelpenet.workbench.report.page import write_page
from mmlabelpenet.workbench.report.panels import panel
from mmlabelpenet.workbench.report.run import Run

WIDTH = 420  # of images, in pixels


def write_report(work_dir: str | Path, test_images: int = 8, train_images: int = 5) -> Path:
    """Write ``report.html``; it appears whole or not at all.

    Args:
        work_dir: of a finished training; ``metrics.json`` and ``quickstart.json`` are read where they are.

    Returns:
        the path of the report.

    Raises:
        FileNotFoundError: no training in the work dir, or its data are gone.
        ValueError: a file in the work dir is not what its name says.
    """
    run = Run(work_dir)
    model, phases = run.model(), phase_lines(read_scalars(run.folder), run.config)
    quality_columns, label_quality = quality.label_quality(run)
    known, commands = facts.reproduction(run)
    return write_page(
        run.folder / 'report.html',
        'report.html',
        data=run.config.train_dataloader.dataset,
        classes=run.classes,
        headline=quality.headline(run.table),
        table=run.table,
        metrics=quality.METRICS,
        tested=(run.meta.get('test') or {}).get('images', '?'),
        per_class=quality.per_class(run.table),
        lift_columns=quality.LIFT,
        lift=quality.lift(run.table),
        test_images=gallery(run, model, 'test', test_images, ('truth', 'prediction')),
        train_images=gallery(run, model, 'label', train_images, ('input', 'attention', 'labels', 'prediction', 'truth')),
        best_and_worst=quality.best_and_worst(run, WIDTH),
        charts=[chart(name, loss_curves(lines)) for name, _, lines in phases],
        stores=list(run.stores),
        label_counts=quality.label_counts(run),
        quality_columns=quality_columns,
        quality=label_quality,
        confusions=quality.confusion_rows(run),
        compared=len(run.comparisons),
        costs=facts.cost_rows(phases),
        steps=facts.step_times(run),
        card=facts.supervision_card(run),
        facts=known,
        commands=commands,
        config_text=run.config_text,
    )


def gallery(run: Run, model: LabelPENet, loader: str, count: int, kinds: Sequence[str]) -> quality.Rows:
    """Name and tiles of images spread over the data set of a loader, in the order of ``kinds`` where the truth comes first."""
    dataset: Any = DATASETS.build(run.config[f'{loader}_dataloader'].dataset)
    classes, rows = dataset.metainfo['classes'], []
    for index in track(evenly_spread(len(dataset), count) if count else [], f'{loader} images'):
        data = dataset[index]
        sample = data['data_samples']
        tiles = panel(model, data, classes, run.stores, run.devkit(loader), kinds, scale=WIDTH / sample.ori_shape[1])
        first = [tile for tile in tiles if tile.kind == kinds[0]]
        rows.append((sample.img_id, first + [tile for tile in tiles if tile.kind != kinds[0]]))
    return rows
