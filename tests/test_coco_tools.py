"""Every tool that reads annotations accepts COCO in its published layout."""

import json

import pytest
import standin
import toy

from mmlabelpenet import apis

CLASSES = ('cat', 'cow', 'dog', 'person')


@pytest.fixture(scope='module', autouse=True)
def _in_workspace(workspace):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        toy.hurry(patch)
        yield


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config, checkpoint and work dir of a toy network that has trained an iteration of each phase on COCO."""
    folder = tmp_path_factory.mktemp('coco')
    data = dict(metainfo=dict(classes=CLASSES))
    train = dict(data, split='train2017', proposals=str(folder / 'train2017.npz'))
    test = dict(data, split='val2017', proposals=str(folder / 'val2017.npz'))
    phases = [(name, 1) for name in (*toy.STAGES, 'recurrent')]
    config = toy.run_config('data/coco', folder / 'run', phases, dataset=train)
    for name, dataset, protocol in (('test', test, 'test'), ('corloc', train, 'corloc')):
        dataset = toy.dataset_config('data/coco', train=False, keep_untagged=True, test_mode=True, **dataset)
        standin.write_random_proposals(dataset)
        config[f'{name}_dataloader'] = dict(
            batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset
        )
        config[f'{name}_evaluator'] = dict(type='StageMetric', data_root='data/coco', split=dataset['split'], protocol=protocol)
    config.test_cfg = dict(type='TestLoop')
    config.dump(folder / 'toy.py')
    apis.train(apis.load_config(folder / 'toy.py'))
    return folder / 'toy.py', folder / 'run/iter_5.pth', folder / 'run'


def test_a_dump_is_scored_as_the_test_was(trained, load_tool, tmp_path):
    config, checkpoint, _ = trained
    table = apis.test(apis.load_config(config), checkpoint, stages='detection', dump=tmp_path / 'results.json')
    assert all(type(entry['image_id']) is int for entry in json.loads((tmp_path / 'results.json').read_text()))
    arguments = ['data/coco', 'val2017', str(tmp_path / 'results.json'), '--classes', *CLASSES, '--out', str(tmp_path / 'scored.json')]
    load_tool('analysis_tools/eval_predictions.py').main(arguments)
    scored = json.loads((tmp_path / 'scored.json').read_text())['predictions']
    assert scored['bbox_mAP_50_area'] == table['detection']['bbox_mAP_50_area'] is not None
    load_tool('analysis_tools/eval_predictions.py').main(['data/coco', 'val2017', str(tmp_path / 'results.json')])


def test_the_trace_shows_the_annotations(trained, load_tool, tmp_path):
    config, checkpoint, _ = trained
    arguments = [str(config), str(checkpoint), '000000000101', '--out', str(tmp_path / 'trace.html')]
    load_tool('analysis_tools/trace.py').main(arguments)
    assert 'ground truth' in (tmp_path / 'trace.html').read_text()


def test_the_report_measures_the_labels(trained, load_tool):
    load_tool('analysis_tools/report.py').main([str(trained[2])])
    text = (trained[2] / 'report.html').read_text()
    assert 'ground truth' in text and 'mean box IoU' in text and 'no annotations' not in text


def test_the_browser_has_the_overlap_with_objects(trained, load_tool):
    load_tool('analysis_tools/browse_pseudo_labels.py').main([str(trained[2] / 'pseudo_labels')])
    assert '"truth":true' in (trained[2] / 'pseudo_labels/browse.html').read_text().replace(' ', '')


def test_the_quality_of_labels_is_measured(trained, load_tool, tmp_path, capsys):
    arguments = [str(trained[2] / 'pseudo_labels'), 'data/coco', '--out', str(tmp_path / 'quality.json')]
    load_tool('analysis_tools/pseudo_label_quality.py').main(arguments)
    row = json.loads((tmp_path / 'quality.json').read_text())['classification']
    assert row['box_iou'] is not None and row['mask_iou'] is not None


def test_where_multiple_instance_learning_looks_is_measured(trained, load_tool, tmp_path):
    config, checkpoint, _ = trained
    load_tool('analysis_tools/mil_mass.py').main([str(config), str(checkpoint), '--out', str(tmp_path / 'mass.json')])
    assert json.loads((tmp_path / 'mass.json').read_text())['meta']['tags'] > 0


def test_generators_are_compared(trained, load_tool, tmp_path):
    config, checkpoint, _ = trained
    arguments = [str(config), str(config), '--checkpoints', str(checkpoint), '--stage', 'detection', '--out', str(tmp_path)]
    load_tool('analysis_tools/compare_generators.py').main(arguments)
    assert (tmp_path / 'detection.md').is_file()
