import json

import pytest

from mmlabelpenet.evaluation.json_stream import iter_json_list

ENTRIES = [{'a': 1}, {'name': 'Müller ☃', 'nested': {'x': [1, {'y': ']},{'}]}}, {}, {'text': 'a"\\'}, {'number': 1.5e-3}, {'last': None}]


@pytest.mark.parametrize('layout', [{}, {'indent': 2}, {'separators': (',', ':')}, {'ensure_ascii': False}])
@pytest.mark.parametrize('begin', ['', '\ufeff', ' \n'])
def test_places_of_entries_are_found_in_any_layout(tmp_path, layout, begin):
    path = tmp_path / 'list.json'
    path.write_text(begin + json.dumps(ENTRIES, **layout) + '\n', encoding='utf-8')
    content = path.read_bytes()
    assert [json.loads(content[first:last]) for first, last in iter_json_list(path)] == ENTRIES


def test_empty_list_has_no_entries(tmp_path):
    path = tmp_path / 'list.json'
    path.write_text(' [ ]\n')
    assert list(iter_json_list(path)) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is empty'),
        ('{"annotations": []}', "starts with b'{'"),
        ('text [1]', "starts with b't'"),
        ('[{"a": 1}, {"b": ]', 'Entry 2 of .* does not end'),
        ('[{"a": 1}, {"b": 2', 'Entry 2 of .* does not end'),
        ('[{"a": 1}, "b', 'Entry 2 of .* does not end'),
        ('[{"a": 1}, ', 'Entry 2 of .* does not end'),
        ('[{"a": 1}', 'Entry 1 of .* does not end'),
        ('[{"a": 1}] more', 'After entry 1 .* the file continues'),
        ('[' * 100_000, 'Entry 1 of .* does not end'),
    ],
)
def test_a_list_that_breaks_off_is_refused_with_the_entry(tmp_path, text, message):
    path = tmp_path / 'list.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        list(iter_json_list(path))
