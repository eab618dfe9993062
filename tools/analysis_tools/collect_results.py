"""Collect the metrics.json files of many runs into Markdown and CSV tables.

    python tools/analysis_tools/collect_results.py work_dirs/a work_dirs/b --out results
    python tools/analysis_tools/collect_results.py work_dirs --against paper --out results

Runs that differ only in their seed form one row, with mean ± sample standard deviation. Results of a checkpoint other than the last one of
its training, or of only part of a split, are excluded and listed. With --out NAME, NAME.md and NAME.csv are written; the CSV holds all
numbers unrounded, also per class. The paper's numbers are those printed in its Tables 1-6.
"""

import argparse
from pathlib import Path

from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('paths', nargs='+', help='work dirs with metrics.json, or such files')
    parser.add_argument('--against', choices=['paper'], help="add the rows of the paper's Tables 1-6, next to ours")
    parser.add_argument('--metrics', nargs='+', metavar='KEY', help='columns of the first table of each group')
    parser.add_argument('--per-class', nargs='*', metavar='KEY', help='metrics with a table per class; none without a KEY')
    parser.add_argument('--out', metavar='NAME', help='write NAME.md and NAME.csv')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Collect, print and write results."""
    args = parse_args(argv)
    from mmlabelpenet.evaluation.table import COLUMNS
    from mmlabelpenet.files import atomic_write
    from mmlabelpenet.workbench.experiments.collect import check_measured, find_results, group_results
    from mmlabelpenet.workbench.experiments.collected_tables import PER_CLASS, as_csv, group_markdown, paper_markdown, paper_tables

    results, left_out = find_results(args.paths)
    groups = group_results(results)
    for line in left_out:
        say(f'left out: {line}', error=True)
    if not groups:
        raise ValueError('No result is left.')
    check_measured([*(args.metrics or ()), *(args.per_class or ())], results)
    per_class = PER_CLASS if args.per_class is None else args.per_class
    parts = [group_markdown(group, args.metrics or COLUMNS, per_class) for group in groups]
    paper = paper_tables() if args.against else {'tables': []}
    if args.against:
        parts += ["## Comparison with the paper's tables", paper['source']]
        parts += [paper_markdown(table, groups) for table in paper['tables']]
    text = '\n\n'.join(parts) + '\n'
    say(text)
    if args.out:
        for suffix, content in (('.md', text), ('.csv', as_csv(groups, paper['tables']))):
            with atomic_write(Path(f'{args.out}{suffix}')) as file:
                file.write(content)


if __name__ == '__main__':
    run(main)
