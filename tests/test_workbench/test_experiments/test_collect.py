import json
import statistics

import pytest

from mmlabelpenet.workbench.experiments.collect import Spread, find_results, group_results, read_result, spread


def table(value, stage='detection'):
    row = {'bbox_mAP_50_area': value, 'mIoU': None, 'CorLoc_50': value + 1}
    return {stage: {**row, 'per_class': {'bbox_mAP_50_area': {'cat': value - 1, 'dog': None}, 'CorLoc_50': {'cat': value + 1}}}}


def meta(seed=0, **changes):
    about = {'protocol': 'test', 'data': 'VOC2012', 'split': 'val', 'images': 5, 'images_in_split': 5, 'semantic_score_thr': 0.3}
    corloc = {**about, 'protocol': 'corloc', 'split': 'train'}
    found = {'config': 'configs/a.py', 'recipe_sha256': 'r' * 64, 'checkpoint': 'iter_7.pth', 'seed': seed, 'commit': 'c' * 40}
    return {**found, 'iterations': 7, 'planned_iterations': 7, 'test': about, 'corloc': corloc, **changes}


def write(folder, content, about):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'metrics.json'
    path.write_text(json.dumps({**content, 'meta': about}))
    return path


def collect(tmp_path, *runs):
    for number, (content, about) in enumerate(runs):
        write(tmp_path / f'run{number}', content, about)
    results, left_out = find_results([tmp_path])
    return group_results(results), left_out


def test_seeds_of_one_recipe_become_mean_and_sample_deviation(tmp_path):
    values = [50.123456789, 53.0, 49.5]
    (group,), left_out = collect(tmp_path, *((table(value), meta(seed)) for seed, value in enumerate(values)))
    assert left_out == []
    expected = Spread(statistics.fmean(values), statistics.stdev(values), 3)
    assert group.rows['detection']['bbox_mAP_50_area'] == expected
    assert group.per_class['detection']['bbox_mAP_50_area'] == {'cat': pytest.approx((expected.mean - 1, expected.std, 3))}
    assert 'mIoU' not in group.rows['detection']


def test_one_seed_has_no_deviation():
    assert spread([2.5]) == Spread(2.5, None, 1)
    assert spread([2.5]).text(2) == '2.50'


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'iterations': 5}, 'not the last: iteration 5 of 7'),
        ({'planned_iterations': None, 'epochs': 16, 'planned_epochs': 24}, 'not the last: epoch 16 of 24'),
        ({'test': {**meta()['test'], 'images': 3}}, "3 of 5 images of 'val'"),
        ({'corloc': {**meta()['corloc'], 'images': 1}}, "1 of 5 images of 'train'"),
    ],
)
def test_an_earlier_checkpoint_and_a_part_of_a_split_are_left_out_and_named(tmp_path, change, reason):
    groups, left_out = collect(tmp_path, (table(99.0), meta(0, **change)), (table(50.0), meta(1)))
    assert [result.meta['seed'] for group in groups for result in group.results] == [1]
    assert len(left_out) == 1
    assert reason in left_out[0]
    assert 'run0' in left_out[0]


@pytest.mark.parametrize(
    'change',
    [
        {'recipe_sha256': 's' * 64},
        {'test': {**meta()['test'], 'split': 'other'}},
        {'test': {**meta()['test'], 'data': 'VOC2007'}},
        {'test': {**meta()['test'], 'semantic_score_thr': 0.5}},
        {'corloc': None},
    ],
)
def test_results_of_another_recipe_split_or_protocol_stand_apart(tmp_path, change):
    groups, _ = collect(tmp_path, (table(50.0), meta(0)), (table(60.0), meta(1, **change)))
    assert [len(group.results) for group in groups] == [1, 1]
    assert len({group.name for group in groups}) == 2 or change.keys() & {'corloc', 'test'}


def test_two_results_of_one_seed_are_refused_unless_they_are_the_same(tmp_path):
    (group,), _ = collect(tmp_path / 'same', (table(50.0), meta(0)), (table(50.0), meta(0)))
    assert len(group.results) == 1
    with pytest.raises(ValueError, match='Two different results of seed 0 of a: .*run0.*run1'):
        collect(tmp_path / 'other', (table(50.0), meta(0)), (table(51.0), meta(0)))


def test_caption_names_protocols_splits_seeds_checkpoint_and_commit(tmp_path):
    (group,), _ = collect(tmp_path, (table(50.0), meta(0)), (table(51.0), meta(3)))
    caption = group.caption()
    for fact in (
        'test: protocol test, split VOC2012/val, 5 images',
        'CorLoc: protocol corloc, split VOC2012/train',
        'seeds: 0, 3',
        'last checkpoint, iteration 7',
        'commit cccccccccc',
        'sample standard deviation',
    ):
        assert fact in caption
    assert group.source('CorLoc_50')['split'] == 'train'
    assert group.source('mIoU')['split'] == 'val'


def test_results_of_other_programs_need_no_config(tmp_path):
    about = {'protocol': 'test', 'data': 'VOC2012', 'split': 'val', 'images': 5, 'predictions': 'theirs.json', 'commit': None}
    (group,), _ = collect(tmp_path, (table(50.0), about))
    assert group.name == 'theirs'
    assert 'split VOC2012/val' in group.caption()


@pytest.mark.parametrize('content', ['', '[]', '{}', '{"meta": {}}', '{"meta": {"split": "val"}, "a": []}', '{"meta": {"test": null}}'])
def test_a_file_without_results_is_named(tmp_path, content):
    path = tmp_path / 'metrics.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'metrics.json'):
        read_result(path)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='No metrics.json in'):
        find_results([tmp_path])
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        find_results([tmp_path / 'nowhere.json'])
