import re

import numpy as np
import pytest
from page_checks import CLASSES, IMAGE, Checker

from mmlabelpenet.workbench.report.curves import chart
from mmlabelpenet.workbench.report.page import TEMPLATES, write_page
from mmlabelpenet.workbench.report.tiles import Tile

PAGES = ['report', 'labels', 'trace']


def macro(name, *arguments):
    return str(getattr(TEMPLATES.get_template('macros.html').module, name)(*arguments))


def attributes(seen):
    return [(tag, sorted(attrs)) for tag, attrs in seen]


@pytest.mark.parametrize('name', PAGES)
def test_names_never_become_markup(hostile_pages, plain_pages, name):
    """Pages with malicious names have the same tags and attributes as pages with plain names."""
    hostile, plain = (Checker(pages[name].read_text(encoding='utf-8')) for pages in (hostile_pages, plain_pages))
    assert attributes(hostile.seen) == attributes(plain.seen)


@pytest.mark.parametrize('name', ['report', 'trace'])
def test_names_are_shown_as_they_are(hostile_pages, name):
    text = ' '.join(Checker(hostile_pages[name].read_text(encoding='utf-8')).texts)
    for shown in (*CLASSES, IMAGE):
        assert shown in text


@pytest.mark.parametrize('name', PAGES)
def test_pages_need_no_other_file_and_allow_no_foreign_script(plain_pages, name):
    text = plain_pages[name].read_text(encoding='utf-8')
    for tag, attrs in Checker(text).seen:
        assert tag not in ('link', 'iframe', 'object') and 'href' not in attrs and attrs.get('src', 'data:').startswith('data:')
        assert not any(key.startswith('on') for key in attrs)
        assert tag != 'script' or name == 'labels'
    assert '@import' not in text and 'url(' not in text
    policy = re.search('http-equiv="Content-Security-Policy" content="(.*?)"', text)[1].replace('&#39;', "'")
    assert policy.startswith("default-src 'none'; img-src data:") and 'unsafe-inline' not in policy.partition('script-src')[2]


def test_a_table_shows_null_as_a_dash_and_never_as_nought():
    rows = {'detection': {'mIoU': None}, 'refinement': {'mIoU': 0.0}, '<b>': {}}
    text = macro('value_table', 'stage', {'mIoU': 'mIoU'}, rows)
    assert re.findall(r'<td[^>]*>([^<]*)</td>', text) == ['detection', '–', 'refinement', '0.0', '&lt;b&gt;', '–']


def test_a_row_of_tiles_and_a_legend_escape_names():
    row = macro('tile_row', '"y"', [Tile('input', '<t>', np.zeros((4, 4, 3), np.uint8), '<n>')])
    for text in (row, macro('colour_legend', ['<c>']), macro('text_table', ['<h>'], [['<r>']])):
        Checker(text)
        assert not any(word in text for word in ('<t>', '<n>', 'of "y"', '<c>', '<h>', '<r>'))


def test_a_chart_names_its_lines():
    seen = Checker(macro('line_chart', chart('<x>', {'a & b': [(1, 0.5), (10, 2.5)], 'one': [(5, 1.0)]})))
    tags = [tag for tag, _ in seen.seen]
    assert tags.count('polyline') == tags.count('circle') == 1 and 'a & b' in seen.texts
    assert 'Nothing was logged.' in macro('line_chart', chart('x', {}))


def test_bytes_of_a_file_name_that_are_not_text_are_shown(tmp_path):
    path = write_page(tmp_path / 'a.html', 'trace.html', title='\udcff', classes=[], rows={})
    assert '<h1>\\udcff</h1>' in path.read_text(encoding='utf-8')
