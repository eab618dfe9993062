import json

import numpy as np
import pytest

from mmlabelpenet.evaluation.table import make_row, markdown_table, merge_tables, read_metrics, text_table, write_metrics

TABLE = {
    'detection': {'bbox_mAP_50_area': 12.345678, 'mIoU': None, 'per_class': {'bbox_mAP_50_area': {'cat': 12.345678}}},
    'segmentation': {'bbox_mAP_50_area': 0.0, 'mIoU': 100 / 3, 'per_class': {}},
}


def test_mean_is_taken_over_the_classes_that_can_be_measured_and_is_not_rounded():
    row = make_row({'ABO_class': np.array([1 / 3, np.nan, 1 / 7])}, ['cat', 'cow', 'dog'])
    assert row['ABO_class'] == pytest.approx(100 * (1 / 3 + 1 / 7) / 2, abs=1e-12)
    assert row['per_class']['ABO_class'] == {
        'cat': pytest.approx(100 / 3, abs=1e-12),
        'cow': None,
        'dog': pytest.approx(100 / 7, abs=1e-12),
    }


def test_metric_without_any_measured_class_is_null():
    row = make_row({'ABO_class': np.array([np.nan]), 'mIoU': None}, ['cat'])
    assert row['ABO_class'] is None
    assert row['mIoU'] is None


def test_value_for_the_background_is_named():
    assert make_row({'mIoU': np.array([1.0, 0.5])}, ['cat'])['per_class']['mIoU'] == {'background': 100.0, 'cat': 50.0}


def test_text_table_shows_null_as_a_dash_and_zero_as_zero():
    lines = text_table(TABLE, ['bbox_mAP_50_area', 'mIoU']).splitlines()
    assert lines[2].split() == ['detection', '12.3', '-']
    assert lines[3].split() == ['segmentation', '0.0', '33.3']
    assert len({len(line) for line in lines[1:]}) == 1


def test_markdown_has_a_column_for_each_metric_that_some_stage_has():
    lines = markdown_table({**TABLE, 'meta': {'split': 'val'}}, digits=2).splitlines()
    assert lines[0] == '| stage | bbox_mAP_50_area | mIoU |'
    assert lines[2:] == ['| detection | 12.35 | - |', '| segmentation | 0.00 | 33.33 |']


def test_merged_tables_fill_each_others_gaps():
    corloc = {'detection': {'mIoU': None, 'CorLoc_50': 60.0, 'per_class': {'CorLoc_50': {'cat': 60.0}}}}
    merged = merge_tables(TABLE, corloc)
    assert merged['detection']['CorLoc_50'] == 60.0
    assert merged['detection']['bbox_mAP_50_area'] == 12.345678
    assert set(merged['detection']['per_class']) == {'CorLoc_50', 'bbox_mAP_50_area'}
    assert merged['segmentation'] == TABLE['segmentation']
    assert 'CorLoc_50' not in TABLE['detection']


def test_tables_that_both_hold_a_value_are_not_merged():
    with pytest.raises(ValueError, match=r"\['bbox_mAP_50_area'\] of stage 'detection'"):
        merge_tables(TABLE, TABLE)


def test_metrics_file_holds_full_precision_and_null(tmp_path):
    path = tmp_path / 'new' / 'metrics.json'
    write_metrics(path, TABLE, {'split': 'val'})
    assert json.loads(path.read_text()) == {**TABLE, 'meta': {'split': 'val'}}
    assert '\n    "mIoU": null' in path.read_text()  # for readers too
    assert list(path.parent.iterdir()) == [path]


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'metrics.json'
    write_metrics(path, TABLE, {})
    before = path.read_text()
    with pytest.raises(ValueError, match='JSON'):
        write_metrics(path, {'detection': {'mIoU': float('nan')}}, {})

    def fail(*_):
        raise OSError('no')

    monkeypatch.setattr('os.replace', fail)
    with pytest.raises(OSError, match='no'):
        write_metrics(path, {}, {})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_read_again(tmp_path):
    table = {'detection': {'mIoU': 61.25, 'ABO_class': None, 'per_class': {'mIoU': {'cat <b>': 61.25, 'dog': None}}}}
    meta = {'config': 'a.py', 'test': {'split': 'val'}, 'seed': 3, 'more': [1]}
    write_metrics(tmp_path / 'metrics.json', table, meta)
    assert read_metrics(tmp_path / 'metrics.json') == (table, meta)


@pytest.mark.parametrize(
    ('text', 'place'),
    [
        ('', 'not a results file'),
        ('[1]', 'not a results file'),
        ('{"a": {"mIoU": "12"}}', "'a' of"),
        ('{"a": {"mIoU": [1]}}', "'a' of"),
        ('{"a": {"per_class": {"mIoU": 3}}}', "'a' of"),
        ('{"a": {"mIoU": NaN}}', 'not a results file'),
        ('{"a": ' + 100_000 * '[' + 100_000 * ']' + '}', 'metrics.json'),
        ('{"meta": []}', '"meta" of'),
        ('{"meta": {"versions": "9"}}', '"meta" of'),
        ('{"meta": {"test": [1]}}', '"meta" of'),
    ],
)
def test_a_file_that_holds_no_results_is_named(tmp_path, text, place):
    (tmp_path / 'metrics.json').write_text(text)
    with pytest.raises(ValueError, match=r'metrics\.json') as caught:
        read_metrics(tmp_path / 'metrics.json')
    assert place in str(caught.value) and 'tools/test.py' in str(caught.value)
