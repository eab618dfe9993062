"""Readers of tags at their limits; the readers of whole data sets are tested with these."""

import pytest

from mmlabelpenet.formats import tag_files
from mmlabelpenet.formats.tag_files import parse_xml, unknown_tag


@pytest.mark.parametrize(('count', 'end'), [(8, 'c6, c7.'), (9, 'c6, c7 and 1 more.')])
def test_an_error_shows_eight_classes_and_counts_the_others(count, end):
    assert str(unknown_tag('x', [f'c{k}' for k in range(count)], 'line 1')).endswith(end)


def test_files_at_the_limits_of_depth_and_size_are_read_and_larger_ones_are_not(tmp_path, monkeypatch):
    path = tmp_path / 'a.xml'
    for depth in (64, 65):
        path.write_text(depth * '<a>' + depth * '</a>')
        if depth == 64:
            assert parse_xml(path).tag == 'a'
    with pytest.raises(ValueError, match='nested more than 64 deep'):
        parse_xml(path)
    path.write_text('<a/>')
    monkeypatch.setattr(tag_files, '_LARGEST_XML', 4)
    assert parse_xml(path).tag == 'a'
    path.write_text('<a />')
    with pytest.raises(ValueError, match='it has 5 bytes, more than 4'):
        parse_xml(path)
