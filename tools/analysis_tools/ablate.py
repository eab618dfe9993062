"""Train and test configs with several seeds, and compare them with a base in one table.

    python tools/analysis_tools/ablate.py configs/labelpenet/ablations/lite0_rendered_no_*.py --seeds 0 1 2 \\
        --base configs/labelpenet/labelpenet_lite0_rendered.py --out work_dirs/ablations

Each config and seed has a folder OUT/<config name>/seed<k>. All configs are checked first, and those with missing data are skipped.
Finished runs are skipped, interrupted ones are resumed; a run that fails is reported with its last error, and the others continue. The
table is written to OUT/ablations.md, .json and .svg: mean and sample standard deviation over seeds, and the difference from the base. With
--slurm, all runs are submitted at once, and the table is written when they have finished.
"""

import argparse
import signal
import sys
from pathlib import Path

from mmlabelpenet.options import Parser, seed, whole
from mmlabelpenet.terminal import AGAIN, run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--seeds', nargs='+', type=seed, default=[0], help='default: 0')
    parser.add_argument('--base', help='config with which the others are compared (default: the first)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'), help='folder of all runs (default: %(default)s)')
    parser.add_argument('--metrics', nargs='+', metavar='KEY', help='metrics of the table')
    parser.add_argument('--gpus', type=whole(1), default=1, help='number of GPUs per training (default: 1)')
    parser.add_argument('--slurm', metavar='PARTITION', help='submit all runs to this Slurm partition')
    words = dict(nargs='+', action='extend', default=[], metavar='KEY=VALUE')
    parser.add_argument('--cfg-options', **words, help='override config keys of every run')
    parser.add_argument('--dry-run', action='store_true', help='only print the commands')
    parser.add_argument('--collect', action='store_true', help='only write the table of the finished runs')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run, report and collect; returns 1 if a run failed or was skipped because of missing data."""
    args = parse_args(argv)
    from mmlabelpenet.workbench.experiments.ablation import make_runs
    from mmlabelpenet.workbench.experiments.batch import carry_out_all, dry_run
    from mmlabelpenet.workbench.experiments.launch import Launch

    base = args.base or args.configs[0]
    runs = make_runs([base, *args.configs], args.seeds, args.out, args.cfg_options)
    launch = Launch(args.gpus, args.slurm)
    if args.dry_run:
        say('\n'.join(dry_run(runs, launch)))
        return 0
    failed = []
    for outcome in [] if args.collect else carry_out_all(runs, launch):
        say(str(outcome))
        failed += [outcome] if outcome.status in ('failed', 'left out') else []
    collect(runs, Path(base).stem, args)
    for outcome in failed:
        say(str(outcome), error=True)
    return 1 if failed else 0


def collect(runs: list, base: str, args: argparse.Namespace) -> None:
    """Write and print the table of the runs that have results."""
    import json

    from mmlabelpenet.files import atomic_write
    from mmlabelpenet.workbench.experiments.collect import check_measured
    from mmlabelpenet.workbench.experiments.differences import METRICS, compare_configs, comparison_markdown
    from mmlabelpenet.workbench.report.plots import plot_differences

    results: dict[str, list] = {}
    for done in runs:
        try:
            found = done.result()
        except (ValueError, FileNotFoundError) as error:
            say(f'excluded: {done}: {error}', error=True)
            continue
        results.setdefault(done.path.stem, []).extend([found] if found else [])
    check_measured(args.metrics or (), [result for found in results.values() for result in found])
    comparison = compare_configs(results, base, args.metrics or METRICS)
    text = comparison_markdown(comparison)
    for suffix, content in (('.md', text), ('.json', json.dumps(comparison, indent=1) + '\n')):
        with atomic_write(args.out / f'ablations{suffix}') as file:
            file.write(content)
    drawn = plot_differences(comparison, args.out / 'ablations.svg')
    say(f'\n{text}\nWrote {args.out / "ablations.md"}, .json{" and .svg" if drawn else ""}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run(main, AGAIN)
