import csv
import importlib.util
import io
from pathlib import Path

import pytest
from test_collect import meta, write

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.workbench.experiments.collect import find_results, group_results
from mmlabelpenet.workbench.experiments.collected_tables import as_csv, group_markdown, paper_markdown, paper_tables

TOOL = Path(__file__).parents[3] / 'tools' / 'analysis_tools' / 'collect_results.py'
TABLES = {table['number']: table for table in paper_tables()['tables']}


def load_tool():
    spec = importlib.util.spec_from_file_location('collect_results', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def voc_table(value):
    per_class = {name: value + index for index, name in enumerate(VOC_CLASSES)}
    row = {'bbox_mAP_50_11point': value, 'segm_mAP_50_area': value / 3, 'CorLoc_50': 2 * value}
    row['per_class'] = {'bbox_mAP_50_11point': per_class, 'segm_mAP_50_area': per_class, 'CorLoc_50': per_class}
    return {'segmentation': row}


def groups_of(tmp_path, data='VOC2007', split='test', values=(53.0, 55.0)):
    for seed, value in enumerate(values):
        about = {**meta()['test'], 'data': data, 'split': split}
        corloc = {**meta()['corloc'], 'data': data, 'split': 'trainval'}
        write(tmp_path / f'seed{seed}', voc_table(value), meta(seed, test=about, corloc=corloc))
    return group_results(find_results([tmp_path])[0])


def cells(text, start):
    (line,) = [line for line in text.splitlines() if line.startswith(f'| {start}')]
    return [cell.strip() for cell in line.strip('|').split('|')]


@pytest.mark.parametrize('number', range(1, 6))
def test_printed_means_of_the_paper_are_those_of_its_classes_but_for_two_rows(number):
    table = TABLES[number]
    wrong = {}
    for row in table['rows']:
        assert set(row['per_class']) in ({*table['classes']}, set())
        printed = row['values'][table['metrics'][0]]
        if row['per_class'] and abs(sum(row['per_class'].values()) / len(row['per_class']) - printed) > 0.06:
            wrong[row['method']] = printed
    assert wrong == {1: {'Object Det Module': 40.3}, 3: {'HCP+DSD+OSSH3[20]': 54.9}}.get(number, {})
    assert not wrong or next(iter(wrong)).split('+')[0] in table['note']


def test_the_papers_tables_hold_its_headline_numbers_and_say_whose_they_are():
    own = {n: [row for row in table['rows'] if row['own'] and row['phase'] == 'recurrent'][-1]['values'] for n, table in TABLES.items()}
    assert [next(iter(own[n].values())) for n in range(1, 6)] == [53.1, 49.2, 68.2, 71.3, 57.2]
    assert list(own[6].values()) == [49.1, 30.2, 12.9, 41.4]
    assert [row['values']['bbox_mAP_50_11point'] for row in TABLES[1]['rows'] if row['phase'] == 'cascaded'] == [26.9, 39.1, 49.7, 51.3]
    assert 'None was measured by this project' in paper_tables()['source']


def test_a_row_beside_the_papers_shows_mean_deviation_classes_and_difference(tmp_path):
    text = paper_markdown(TABLES[1], groups_of(tmp_path))
    ours = cells(text, 'ours: a, segmentation')
    assert ours[1:5] == ['VOC2007/test', '54.0 ± 1.4', '+0.9', '54.0 ± 1.4']
    assert len(ours) == 4 + 20
    assert cells(text, 'paper: Instance Seg Module (segmentation, recurrent)')[1:5] == ['VOC2007/test', '53.1', '', '65.7']
    assert 'cannot be compared' not in text


def test_corloc_is_taken_from_its_own_split(tmp_path):
    assert cells(paper_markdown(TABLES[3], groups_of(tmp_path)), 'ours: a')[1:4] == ['VOC2007/trainval', '108.0 ± 2.8', '+39.8']


def test_results_on_other_data_are_shown_as_such_and_not_subtracted(tmp_path):
    text = paper_markdown(TABLES[6], groups_of(tmp_path, 'VOC2012', 'mini_test'))
    assert cells(text, 'ours: a')[1:] == ['VOC2012/mini_test (other data)', '-', '18.0 ± 0.5', '-', '-', '']
    assert 'cannot be compared' in text


def test_results_of_other_classes_stay_out_of_the_papers_tables(tmp_path):
    groups = groups_of(tmp_path)
    for group in groups:
        for metrics in group.per_class['segmentation'].values():
            del metrics['sheep']
    for number in (1, 6):
        text = paper_markdown(TABLES[number], groups)
        assert 'ours: ' not in text
        assert 'No result of ours' in text


def test_a_group_has_a_table_of_stages_and_tables_of_classes(tmp_path):
    (group,) = groups_of(tmp_path)
    text = group_markdown(group)
    assert text.splitlines()[0] == '### a'
    assert group.caption() in text
    assert '| stage | bbox_mAP_50_11point | CorLoc_50 | segm_mAP_50_area |' in text
    assert '`CorLoc_50` per class on VOC2007/trainval' in text
    assert 'per class' not in group_markdown(group, per_class=())


def test_csv_holds_every_number_unrounded(tmp_path):
    groups = groups_of(tmp_path, values=(53.123456789, 55.0))
    rows = list(csv.DictReader(io.StringIO(as_csv(groups, TABLES.values()))))
    ours = [row for row in rows if row['source'] == 'ours']
    assert len(ours) == 3 * 21
    (mean,) = [row for row in ours if row['metric'] == 'bbox_mAP_50_11point' and not row['class']]
    assert float(mean['mean']) == (53.123456789 + 55.0) / 2
    assert (mean['seeds'], mean['data'], mean['split']) == ('2', 'VOC2007', 'test')
    paper = [row for row in rows if row['source'] == 'paper' and row['table'] == '6']
    assert [row['mean'] for row in paper] == ['22.0', '44.3', '26.8', '9.0', '37.6', '49.1', '30.2', '12.9', '41.4']


def test_the_command_writes_both_files_and_names_what_it_leaves_out(tmp_path, capsys):
    groups_of(tmp_path / 'work')
    write(tmp_path / 'work' / 'early', voc_table(99.0), meta(9, iterations=3))
    tool = load_tool()
    tool.main([str(tmp_path / 'work'), '--against', 'paper', '--out', str(tmp_path / 'results')])
    out, err = capsys.readouterr()
    assert 'early' in err and 'iteration 3 of 7' in err
    assert (tmp_path / 'results.md').read_text().strip() == out.strip()
    assert "The paper's Table 6" in out
    assert (tmp_path / 'results.csv').read_text().startswith('table,source,name')


def test_the_command_fails_where_nothing_is_left(tmp_path):
    write(tmp_path / 'early', voc_table(99.0), meta(9, iterations=3))
    with pytest.raises(ValueError, match='No result is left'):
        load_tool().main([str(tmp_path), '--out', str(tmp_path / 'results')])
    assert not (tmp_path / 'results.md').exists()


def test_the_command_rejects_a_metric_that_no_result_has(tmp_path):
    groups_of(tmp_path)
    for option in ('--metrics', '--per-class'):
        with pytest.raises(ValueError, match="No result has the metric 'miou'. Measured: .*bbox_mAP_50_11point"):
            load_tool().main([str(tmp_path), option, 'miou'])
