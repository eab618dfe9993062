"""Text files from untrusted sources."""

import hashlib
from typing import Any

import pytest

from mmlabelpenet import schema
from mmlabelpenet.schema import json_hash, read_json, reason, short


@pytest.mark.parametrize('content', ['{"d": 0, "a": 1, "a": 2}', '[{"b": {}}, {"b": {"c": 1, "d": 2, "c": 3}}]'])
def test_a_key_that_appears_twice_is_refused_where_the_last_would_be_taken_silently(tmp_path, content):
    path = tmp_path / 'a.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r"a.json' is not a table \(the key '[ac]' appears twice in one object\). Write it again."):
        read_json(path, Any, 'a table', 'Write it again.')


def test_one_key_in_several_objects_is_fine(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('\ufeff[{"a": {"a": 1}}, {"a": "\\ud83d\\ude00"}]', encoding='utf-8')
    assert read_json(path, list[dict[str, Any]], 'a table')[0] == {'a': {'a': 1}}


def test_a_value_is_cut_from_one_character_beyond_the_limit_on():
    assert short('a' * 18, 20) == f"'{'a' * 18}'" and short('a' * 19, 20) == f"'{'a' * 16}..."
    assert reason(ValueError('a' * 300)) == 'a' * 300 and reason(ValueError('a' * 301)) == f'{"a" * 297}...'


def test_a_hash_is_16_digits_of_the_sha256_of_sorted_json():
    assert json_hash({'b': (2,), 'a': None}) == hashlib.sha256(b'{"a": null, "b": [2]}').hexdigest()[:16]


def test_repeated_keys_are_looked_for_up_to_a_size(tmp_path, monkeypatch):
    path = tmp_path / 'a.json'
    path.write_text('{"a": 1, "a": 2}')
    monkeypatch.setattr(schema, '_SEARCHED', 15)
    assert read_json(path, Any, 'a table') == {'a': 2}
    monkeypatch.setattr(schema, '_SEARCHED', 16)
    with pytest.raises(ValueError, match="the key 'a' appears twice"):
        read_json(path, Any, 'a table')
