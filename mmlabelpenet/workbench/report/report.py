"""The report of a training: ``report.html`` in its work dir, a self-contained file."""

import shlex
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from mmlabelpenet.apis.config import build_dataset
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.progress import track
from mmlabelpenet.workbench.report import report_quality as quality
from mmlabelpenet.workbench.report.curves import chart, loss_curves, phase_lines, read_scalars
from mmlabelpenet.workbench.report.page import write_page
from mmlabelpenet.workbench.report.panels import panel
from mmlabelpenet.workbench.report.run import Run
from mmlabelpenet.workbench.report.training_images import evenly_spread
from mmlabelpenet.workbench.supervision.audit import audit

WIDTH = 420  # of images in pixels


def write_report(work_dir: str | Path, test_images: int = 8, train_images: int = 5) -> Path:
    """Write ``report.html``, atomically.

    Args:
        work_dir: of a finished training; ``metrics.json`` and ``quickstart.json`` are read if they exist.

    Returns:
        the path of the report.

    Raises:
        FileNotFoundError: no training in the work dir, or its data no longer exist.
        ValueError: a file in the work dir has another format than its name suggests.
    """
    run = Run(work_dir)
    model, phases = run.model(), phase_lines(read_scalars(run.folder), run.config)
    quality_columns, label_quality = quality.label_quality(run)
    facts, commands = reproduction(run)
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
        costs=cost_rows(phases),
        steps=step_times(run),
        card=supervision_card(run),
        facts=facts,
        commands=commands,
        config_text=run.config_text,
    )


def gallery(run: Run, model: LabelPENet, loader: str, count: int, kinds: Sequence[str]) -> quality.Rows:
    """Name and tiles of images spread over the data set of a loader, in the order of ``kinds``, ground truth first."""
    dataset: Any = build_dataset(run.config, loader)
    classes, rows = dataset.metainfo['classes'], []
    for index in track(evenly_spread(len(dataset), count) if count else [], f'{loader} images'):
        data = dataset[index]
        sample = data['data_samples']
        tiles = panel(model, data, classes, run.stores, run.devkit(loader), kinds, scale=WIDTH / sample.ori_shape[1])
        first = [tile for tile in tiles if tile.kind == kinds[0]]
        rows.append((sample.img_id, first + [tile for tile in tiles if tile.kind != kinds[0]]))
    return rows


def cost_rows(phases: Sequence[tuple[str, int, Sequence[Mapping]]]) -> list[list[str]]:
    """Name, iterations, seconds per iteration, seconds of loading, and memory of each phase; a dash if nothing was logged.

    Args:
        phases: result of :func:`~mmlabelpenet.workbench.report.curves.phase_lines`.

    >>> cost_rows([('detection', 4, [dict(step=1, time=2.0, data_time=0.5)])])
    [['detection', '4', '2.00', '0.50', '–']]
    """
    rows = []
    for name, iters, lines in phases:
        keys = ('time', 'data_time', 'memory')
        seconds, loading, memory = ([line[key] for line in lines if isinstance(line.get(key), Real)] for key in keys)
        texts = [f'{np.median(values):.2f}' if values else '–' for values in (seconds, loading)]
        rows.append([name, str(iters), *texts, f'{max(memory)} MiB' if memory else '–'])
    return rows


def step_times(run: Run) -> list[str]:
    """Times of the steps of a quickstart."""
    return [f'{name} {step.seconds:.0f} s' for name, step in run.steps.items() if step.seconds is not None]


def supervision_card(run: Run) -> dict[str, Sequence[str]] | str:
    """Lines of the supervision card by heading, found by loading a few training images as training does; a message if that fails."""
    try:
        return audit(run.config, data_only=True).sections('loading the training images')
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def reproduction(run: Run) -> tuple[dict[str, str], list[str]]:
    """Config, seed, checkpoint, commit and versions; and the commands."""
    source = run.meta.get('config') or next((str(path) for path in sorted(run.folder.glob('*.py'))), 'CONFIG')
    commands = [step.command for step in run.steps.values() if step.command] or [
        shlex.join(['python', 'tools/train.py', source, '--work-dir', str(run.folder)]),
        shlex.join(['python', 'tools/test.py', source, str(run.checkpoint), '--corloc', '--out', str(run.folder / 'metrics.json')]),
    ]
    facts = {
        'config': source,
        'seed': (run.config.get('randomness') or {}).get('seed'),
        'checkpoint': f'{run.checkpoint} (SHA-256 {run.meta.get("checkpoint_sha256", "not recorded")})',
        'commit': run.meta.get('commit') or 'not recorded',
        'versions': ', '.join(f'{name} {version}' for name, version in run.meta.get('versions', {}).items()) or 'not recorded',
    }
    return facts, commands
