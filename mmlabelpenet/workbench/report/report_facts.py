"""Parts of the report about the run: time and memory, what it rests on, how to do it again."""

import shlex
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from mmlabelpenet.workbench.report import page as html
from mmlabelpenet.workbench.report.curves import read_scalars
from mmlabelpenet.workbench.report.run import Run
from mmlabelpenet.workbench.supervision.audit import audit


def time_and_memory(run: Run) -> str:
    """Seconds of an iteration and memory by phase, from the log."""
    rows = cost_rows(read_scalars(run.folder), run.config.train_cfg.get('phases', []))
    if not rows:
        return ''
    head = ['phase', 'iterations', 'seconds each (median)', 'of these loading', 'GPU memory']
    steps = {name: f'{step["seconds"]:.0f} s' for name, step in run.steps.items() if step.get('seconds') is not None}
    whole = f'<p>Whole steps: {escape(", ".join(f"{name} {text}" for name, text in steps.items()))}.</p>' if steps else ''
    return f'<h3>Time and memory</h3>{html.simple_table(head, rows)}{whole}'


def cost_rows(scalars: Sequence[Mapping], phases: Sequence[Mapping]) -> list[list[str]]:
    """Texts of the table, one row for each phase; a dash where nothing was logged.

    >>> cost_rows([dict(step=1, time=2.0, data_time=0.5)], [dict(name='detection', iters=4)])
    [['detection', '4', '2.00', '0.50', '–']]
    """
    rows, start = [], 0
    for phase in phases:
        lines = [line for line in scalars if start < line['step'] <= start + phase['iters']]
        seconds, loading = ([line[key] for line in lines if key in line] for key in ('time', 'data_time'))
        memory = [line['memory'] for line in lines if 'memory' in line]
        texts = [f'{np.median(values):.2f}' if values else '–' for values in (seconds, loading)]
        rows.append([phase['name'], str(phase['iters']), *texts, f'{max(memory)} MiB' if memory else '–'])
        start += phase['iters']
    return rows


def supervision(run: Run) -> str:
    """The supervision card, from loading a few training images as training does."""
    head = '<h2>What it rests on</h2>'
    try:
        card = audit(run.config, data_only=True)
    except (ValueError, FileNotFoundError) as error:
        return f'{head}<p class="note">It could not be audited: {escape(str(error))}</p>'
    sections = {
        'Files that loading of the training images opened': [f'{kind}: {line}' for kind, lines in card.opened.items() for line in lines],
        'Pre-trained weights': card.weights,
        'Proposals': card.proposals,
        'Training and test images': card.overlap,
        'Verdict': card.faults or ['Image tags only; no image is shared with the test.'],
    }
    lists = ''.join(
        f'<h3>{escape(title)}</h3><ul class="card">{"".join(f"<li>{escape(line)}</li>" for line in lines) or "<li>none</li>"}</ul>'
        for title, lines in sections.items()
    )
    return f'{head}<details open><summary>Supervision card</summary>{lists}</details>'


def reproduction(run: Run) -> str:
    """Commands, config, seed, versions and times."""
    meta = run.metrics.get('meta', {})
    source = meta.get('config') or next((str(path) for path in sorted(run.folder.glob('*.py'))), 'CONFIG')
    commands = [step['command'] for step in run.steps.values() if 'command' in step] or [
        shlex.join(['python', 'tools/train.py', source, '--work-dir', str(run.folder)]),
        shlex.join(['python', 'tools/test.py', source, str(run.checkpoint), '--corloc', '--out', str(run.folder / 'metrics.json')]),
    ]
    facts = {
        'config': source,
        'seed': str(run.seed),
        'checkpoint': f'{run.checkpoint} (SHA-256 {meta.get("checkpoint_sha256", "not recorded")})',
        'commit': str(meta.get('commit') or 'not recorded'),
        'versions': ', '.join(f'{name} {version}' for name, version in meta.get('versions', {}).items()) or 'not recorded',
    }
    return (
        f'<h2>How to do it again</h2>{html.pairs(facts)}<pre class="wrap">{escape(chr(10).join(commands))}</pre>'
        f'<details><summary>The whole config</summary><pre>{escape(run.config_text)}</pre></details>'
    )
