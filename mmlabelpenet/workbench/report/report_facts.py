"""Parts of the report about the run: time and memory, what it rests on, how to do it again."""

import shlex
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from mmlabelpenet.workbench.report.run import Run
from mmlabelpenet.workbench.supervision.audit import audit


def cost_rows(phases: Sequence[tuple[str, int, Sequence[Mapping]]]) -> list[list[str]]:
    """Name, iterations, seconds of an iteration, of these loading, and memory of each phase; a dash where nothing was logged.

    Args:
        phases: of :func:`~mmlabelpenet.workbench.report.curves.phase_lines`.

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
    """What the steps of a quickstart took."""
    return [f'{name} {step.seconds:.0f} s' for name, step in run.steps.items() if step.seconds is not None]


def supervision_card(run: Run) -> dict[str, Sequence[str]] | str:
    """Lines of the supervision card by heading, from loading a few training images as training does; a message where that fails."""
    try:
        return audit(run.config, data_only=True).sections('loading of the training images')
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
        'seed': run.config.get('randomness', {}).get('seed'),
        'checkpoint': f'{run.checkpoint} (SHA-256 {run.meta.get("checkpoint_sha256", "not recorded")})',
        'commit': run.meta.get('commit') or 'not recorded',
        'versions': ', '.join(f'{name} {version}' for name, version in run.meta.get('versions', {}).items()) or 'not recorded',
    }
    return facts, commands
