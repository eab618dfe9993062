import json

import pytest

from mmlabelpenet.evaluation.json_stream import iter_json_list

ENTRIES = [{'a': 1}, {'name': 'Müller ☃', 'nested': {'x': [1, {'y': ']},{'}]}}, {}, {'text': 'a"\\'}, {'number': 1.5e-3}, {'last': None}]


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 1000])
@pytest.mark.parametrize('layout', [{}, {'indent': 2}, {'separators': (',', ':')}, {'ensure_ascii': False}])
def test_entries_and_their_places_are_found_whatever_is_read_at_once(tmp_path, chunk, layout):
    path = tmp_path / 'list.json'
    path.write_text(json.dumps(ENTRIES, **layout) + '\n', encoding='utf-8')
    found = list(iter_json_list(path, chunk))
    assert [value for _, _, value in found] == ENTRIES
    content = path.read_bytes()
    assert [json.loads(content[first:last]) for first, last, _ in found] == ENTRIES


def test_empty_list_has_no_entries(tmp_path):
    path = tmp_path / 'list.json'
    path.write_text(' [ ]\n')
    assert list(iter_json_list(path)) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "starts with ''"),
        ('{"annotations": []}', "starts with '{'"),
        ('[{"a": 1}, {"b": ]', 'Entry 2 of .* is not valid JSON'),
        ('[{"a": 1}, {"b": 2', 'Entry 2 of .* is not valid JSON'),
        ('[{"a": 1}, ', 'Entry 2 of .* is not valid JSON'),
        ('[{"a": 1}', "After entry 1 .* got ''"),
        ('[{"a": 1} {"b": 2}]', "After entry 1 .* got '{'"),
        ('[{"a": 1}] more', 'After entry 1 '),
    ],
)
def test_damaged_list_is_refused_with_the_entry(tmp_path, text, message):
    path = tmp_path / 'list.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        list(iter_json_list(path, chunk=4))


def test_bytes_that_are_no_utf8_are_refused_with_the_entry(tmp_path):
    path = tmp_path / 'list.json'
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(ValueError, match='Entry 1'):
        list(iter_json_list(path))
