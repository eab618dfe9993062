"""Edge cases for readers of tags; readers of whole data sets are tested with these."""

import pytest

from mmlabelpenet.formats import tag_files
from mmlabelpenet.formats.tag_files import parse_xml, tags_from_xml, unknown_tag


@pytest.mark.parametrize(('count', 'end'), [(8, 'c6, c7.'), (9, 'c6, c7 and 1 more.')])
def test_an_error_shows_eight_classes_and_counts_the_others(count, end):
    assert str(unknown_tag('x', [f'c{k}' for k in range(count)], 'line 1')).endswith(end)


def test_a_file_of_just_the_largest_size_is_read(tmp_path, monkeypatch):
    path = tmp_path / 'a.xml'
    path.write_text('<a/>')
    monkeypatch.setattr(tag_files, '_LARGEST_XML', 4)
    assert parse_xml(path, root=None).tag == 'a'
    path.write_text('<a />')
    with pytest.raises(ValueError, match='it has 5 bytes, more than 4'):
        parse_xml(path, root=None)


@pytest.mark.parametrize('text', ['<html/>', '<annotations/>', '<annotation xmlns="a"><object/></annotation>', '<Annotation/>'])
def test_another_kind_of_xml_is_not_an_annotation_without_objects(tmp_path, text):
    (tmp_path / 'a.xml').write_text(text)
    with pytest.raises(ValueError, match=r'a.xml. is not readable as XML: expected <annotation> around it, got <'):
        tags_from_xml(tmp_path, ['a'], ['cat'])


@pytest.mark.parametrize(('mark', 'tags'), [('1', []), (' True ', []), ('yes', []), ('0', [0]), ('false', [0]), ('', [0])])
def test_difficult_objects_may_be_marked_by_words(tmp_path, mark, tags):
    (tmp_path / 'a.xml').write_text(f'<annotation><object><name>cat</name><difficult>{mark}</difficult></object></annotation>')
    assert tags_from_xml(tmp_path, ['a'], ['cat'])['a'] == tags
