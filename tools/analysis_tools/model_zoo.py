"""Write the tables of configs/*/README.md from the metafiles in the same folders: python tools/analysis_tools/model_zoo.py [--check]."""

import re
from pathlib import Path
from typing import Any

import yaml

from mmlabelpenet.options import Parser
from mmlabelpenet.terminal import run, say

ROOT = Path(__file__).resolve().parents[2]
METRICS = ('bbox_mAP_50_area', 'segm_mAP_50_area', 'mIoU', 'CorLoc_50')
BEGIN, END = '<!-- made by tools/analysis_tools/model_zoo.py -->', '<!-- end -->'


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table; columns of numbers are right-aligned."""
    numbers = ['--:' if name in METRICS or name == 'value' else ':--' for name in head]
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in (head, numbers, *rows))


def cell(result: dict[str, Any], metric: str) -> str:
    """Mean, with the standard deviation if there are several seeds; a dash if not measured."""
    if metric not in result.get('Metrics', {}):
        return '-'
    mean, deviation = result['Metrics'][metric], result.get('Standard Deviation', {}).get(metric)
    return f'{mean:.1f}' if deviation is None else f'{mean:.1f} ± {deviation:.1f}'


def source(result: dict[str, Any]) -> str:
    """Link to the section that documents the measurement."""
    if not result:
        return '-'
    where = result['Source']
    anchor = re.sub(r'[^\w\- ]', '', where['Section'].lower()).replace(' ', '-')
    seeds = ', '.join(map(str, where['Seeds']))
    return f'[seed {seeds}](../../{where["Page"]}#{anchor})'


def download(model: dict[str, Any], result: dict[str, Any]) -> str:
    """Links to checkpoint and log, if published."""
    links = {'model': model.get('Weights'), 'log': result.get('Source', {}).get('Log')}
    return ', '.join(f'[{name}]({link})' for name, link in links.items() if link and ' ' not in link) or '-'


def tables(meta: dict[str, Any]) -> str:
    """All models of a metafile with the results of their last stage, then the results reported in their papers."""
    rows, printed = [], []
    for model in sorted(meta['Models'], key=lambda model: not model['Results']):  # measured models first
        result = model['Results'][-1] if model['Results'] else {}
        name = f'[{model["Name"]}]({Path(model["Config"]).name})'
        data, backbone = model['Metadata']['Training Data'], model['Metadata'].get('Backbone', '-')
        rows.append([name, data, backbone, *(cell(result, metric) for metric in METRICS), source(result), download(model, result)])
        for paper in model.get('Paper Results', []):
            table = f'Table {paper["Source"]["Table"]}, {paper["Source"]["Row"]}'
            printed += [[name, paper['Dataset'], f'`{metric}`', f'{value:.1f}', table] for metric, value in paper['Metrics'].items()]
    text = markdown(['config', 'trained on', 'backbone', *METRICS, 'measured', 'download'], rows)
    if printed:
        text += '\n\nPrinted in the Label-PEnet paper, not measured here:\n\n'
        text += markdown(['config', 'data', 'metric', 'value', 'where'], printed)
    return text


def with_tables(page: str, text: str) -> str:
    """The page with the part between its two markers replaced.

    Raises:
        ValueError: the markers are missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f'The page needs {BEGIN} and {END} around its table.')
    return f'{before}{BEGIN}\n\n{text}\n\n{END}{after}'


def main(argv: list[str] | None = None) -> None:
    """Write outdated pages, or list them."""
    parser = Parser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with status 1 if a page is out of date')
    args = parser.parse_args(argv)
    stale = []
    for metafile in sorted(ROOT.glob('configs/*/metafile.yml')):
        page = metafile.with_name('README.md')
        text = page.read_text(encoding='utf-8')
        new = with_tables(text, tables(yaml.safe_load(metafile.read_text(encoding='utf-8'))))
        if new != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if not args.check:
                page.write_text(new, encoding='utf-8')
    if args.check and stale:
        raise ValueError(f'Out of date: {", ".join(stale)}. Run python tools/analysis_tools/model_zoo.py.')
    say(f'{"Wrote " + ", ".join(stale) if stale else "All tables are up to date"}.')


if __name__ == '__main__':
    run(main)
