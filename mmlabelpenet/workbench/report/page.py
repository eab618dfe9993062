"""The look of the report: one page that needs no other file, light and dark, on paper and on a phone."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mmlabelpenet.visualization.drawing import class_colours, data_uri
from mmlabelpenet.workbench.report.panels import Tile

COLUMNS = {
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

STYLE = """
:root{color-scheme:light dark;--bg:#fbfaf8;--card:#fff;--ink:#1d2126;--soft:#626a73;--line:#dfdcd6;--bar:#dbe7f0;--accent:#1f5f8b;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b8579a;--s4:#8a6d00;--s5:#3f9bd1;--s6:#5b5b5b;--s7:#a33b20}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e4e6e8;--soft:#98a1aa;--line:#32383e;--bar:#24405a;
--accent:#7ab8e6;--s0:#56b4e9;--s1:#f0894a;--s2:#2fc79b;--s3:#dd8fc4;--s4:#e3c34a;--s5:#9ad0f0;--s6:#b5b5b5;--s7:#e9826a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:2.2rem 1.2rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:2.8rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.3rem 0 .3rem}
p{margin:.3rem 0 .8rem;max-width:48rem}
.note,figcaption small,.fact span{color:var(--soft)}
.note{font-size:.9rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(11.5rem,1fr));gap:.8rem;margin:1.4rem 0 0}
.fact{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem}
.fact b{display:block;font-size:1.55rem;font-weight:600;line-height:1.2;font-variant-numeric:tabular-nums}
.fact span{font-size:.85rem}
.scroll{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{font-weight:500;color:var(--soft);white-space:normal;vertical-align:bottom;min-width:4.2rem;line-height:1.25}
th:first-child,td:first-child{text-align:left;font-weight:500}
td.v{background:linear-gradient(90deg,var(--bar) calc(var(--p)*1%),transparent 0)}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--accent)}
.panel{margin:1.1rem 0 1.6rem}
.panel h3{font-weight:500;font-size:.92rem;color:var(--soft);font-family:ui-monospace,Menlo,Consolas,monospace}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(205px,1fr));gap:.7rem}
.tiles.five{grid-template-columns:repeat(5,1fr)}
@media (max-width:900px){.tiles.five{grid-template-columns:repeat(auto-fill,minmax(150px,1fr))}}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:6px;overflow:hidden}
figure img{display:block;width:100%;height:auto}
figcaption{padding:.35rem .55rem .45rem;font-size:.85rem;line-height:1.3}
figcaption small{display:block;font-size:.78rem}
.truth{border-color:var(--s2)}
.labels{border-color:var(--s4)}
.attention{border-color:var(--s1)}
.pairs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:0 1.2rem}
.pairs .panel{margin:.3rem 0 1rem}.pairs .tiles{grid-template-columns:1fr 1fr}
.card{font-size:.88rem;margin:.2rem 0 .8rem;padding-left:1.2rem;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:.9rem;margin:.8rem 0}
.chart{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem}
.chart h3{margin:.1rem 0 .3rem;font-size:.95rem}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--line);stroke-width:1}
.tick{fill:var(--soft);font-size:10px}.end{text-anchor:end}.mid{text-anchor:middle}
polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
LINES
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem .9rem;padding:0;margin:.3rem 0 0;font-size:.78rem;color:var(--soft)}
.key{display:inline-block;width:1.1rem;height:0;border-top-width:3px;border-top-style:solid;vertical-align:middle;margin-right:.35rem}
.legend.big{font-size:.88rem;color:var(--ink)}
.swatch{display:inline-block;width:.85rem;height:.85rem;border-radius:3px;margin-right:.4rem;vertical-align:-.1rem;print-color-adjust:exact}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;overflow-x:auto;
font-size:.82rem;line-height:1.5}
pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:560px){main{padding:1.2rem .8rem 3rem}h1{font-size:1.4rem}dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}
.tiles,.tiles.five,.facts{grid-template-columns:1fr 1fr;gap:.45rem}
.fact b{font-size:1.2rem}}
@media print{:root{--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--bar:#dbe7f0;color-scheme:light}body{font-size:10pt}
main{max-width:none;padding:0}figure,.chart,tr,.fact{break-inside:avoid}h2,h3{break-after:avoid}td.v,.key{print-color-adjust:exact}
.tiles.five{grid-template-columns:repeat(5,1fr)}.tiles{grid-template-columns:repeat(4,1fr)}details>*{display:block}
.pairs{grid-template-columns:1fr 1fr}}
""".replace(
    'LINES', '\n'.join(f'.s{i}{{stroke:var(--s{i})}}.s{i}.dot{{fill:var(--s{i})}}.k{i}{{border-color:var(--s{i})}}' for i in range(8))
)


def page(title: str, body: str) -> str:
    """A whole HTML page.

    >>> page('a & b', '').count('a &amp; b')
    2
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n'
    )


def number(value: float | None, digits: int = 1) -> str:
    """A percentage, or a dash where nothing was measured.

    >>> number(61.25), number(None)
    ('61.2', '–')
    """
    return '–' if value is None else f'{value:.{digits}f}'


def cell(value: float | None) -> str:
    """A table cell with a bar behind the number."""
    return f'<td>{number(value)}</td>' if value is None else f'<td class="v" style="--p:{min(max(value, 0), 100):.1f}">{number(value)}</td>'


def metrics_table(table: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str] = COLUMNS) -> str:
    """One row a stage, in percent."""
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in columns.values())
    rows = ''.join(
        f'<tr><td>{escape(stage)}</td>{"".join(cell(row.get(key)) for key in columns)}</tr>'
        for stage, row in table.items()
        if stage != 'meta'
    )
    return f'<div class="scroll"><table><thead><tr><th scope="col">stage</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def class_table(table: Mapping[str, Mapping[str, Any]], metric: str) -> str:
    """One row a stage, one column a class; empty where no stage has the metric."""
    rows = {stage: row['per_class'].get(metric) for stage, row in table.items() if stage != 'meta'}
    names = next((list(values) for values in rows.values() if values), [])
    if not names:
        return ''
    filled = {stage: values or {} for stage, values in rows.items()}
    return f'<h3>{escape(COLUMNS.get(metric, metric))}</h3>' + metrics_table(filled, {name: name for name in names})


def simple_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    top = ''.join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = ''.join('<tr>' + ''.join(f'<td>{escape(text)}</td>' for text in row) + '</tr>' for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(values: Mapping[str, str]) -> str:
    """Large numbers with what they are."""
    return (
        '<div class="facts">'
        + ''.join(f'<div class="fact"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in values.items())
        + '</div>'
    )


def colour_legend(classes: Sequence[str]) -> str:
    """The classes with the colours in which the pictures show them.

    >>> colour_legend(['cat']).count('cat')
    1
    """
    colours = [f'rgb({r},{g},{b})' for r, g, b in class_colours(len(classes)).tolist()]
    items = ''.join(f'<li><span class="swatch" style="background:{c}"></span>{escape(n)}</li>' for n, c in zip(classes, colours))
    return f'<ul class="legend big">{items}</ul>'


def tile_row(title: str, tiles: Sequence[Tile], name: str = '') -> str:
    """Pictures of one image side by side."""
    figures = ''.join(
        f'<figure class="{tile.kind}"><img src="{data_uri(tile.image)}" width="{tile.image.shape[1]}" height="{tile.image.shape[0]}" '
        f'alt="{escape(tile.title, quote=True)} of {escape(title, quote=True)}" loading="lazy"><figcaption>{escape(tile.title)}'
        f'<small>{escape(tile.note)}</small></figcaption></figure>'
        for tile in tiles
    )
    return f'<div class="panel"><h3>{escape(title)}</h3><div class="tiles {name}">{figures}</div></div>'


def pairs(values: Mapping[str, str]) -> str:
    """Names and values below each other."""
    return '<dl>' + ''.join(f'<dt>{escape(k)}</dt><dd>{escape(v)}</dd>' for k, v in values.items()) + '</dl>'
