import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from mmengine.registry import init_default_scope

from mmlabelpenet import apis
from mmlabelpenet.apis import checkpoint as checkpoints
from mmlabelpenet.apis.published import publish
from mmlabelpenet.apis.test import choose_stages, run_test
from mmlabelpenet.files import file_hash, locked

TOOL = Path(__file__).resolve().parents[2] / 'tools/test.py'


def make_config(toy_root, work_dir, **model):
    config = toy.run_config(toy_root, work_dir, [('classification', 1)], **model)
    for name, split, protocol in (('test', 'test', 'test'), ('corloc', 'train', 'corloc')):
        dataset = toy.dataset_config(toy_root, split, train=False, keep_untagged=True, test_mode=True)
        sampler = dict(type='DefaultSampler', shuffle=False)
        config[f'{name}_dataloader'] = dict(batch_size=1, num_workers=0, sampler=sampler, dataset=dataset)
        classes = dataset['metainfo']['classes']
        evaluator = dict(type='StageMetric', data_root=str(toy_root), split=split, protocol=protocol, mask_classes=classes)
        config[f'{name}_evaluator'] = evaluator
    config.test_cfg = dict(type='TestLoop')
    return config


@pytest.fixture(autouse=True, scope='module')
def _surroundings():
    init_default_scope('mmlabelpenet')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds
        lines = property(lambda config: '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items()))
        patch.setattr('mmengine.config.Config.pretty_text', lines)  # formatted for seconds
        yield


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_9.pth'
    torch.save({'state_dict': toy.build(toy.model_config(), seed=2).state_dict(), 'meta': {'seed': 3, 'iter': 9}}, path)
    return path


@pytest.fixture(scope='module')
def tested(toy_root, checkpoint, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('tested')
    table = apis.test(make_config(toy_root, work_dir), checkpoint, out=work_dir / 'metrics.json', corloc=True)
    return table, json.loads((work_dir / 'metrics.json').read_text())


def test_a_checkpoint_of_some_stages_tests_these(toy_root, tmp_path, checkpoint, tested):
    table = apis.test(make_config(toy_root, tmp_path), publish(checkpoint, tmp_path, ['detection']))
    assert list(table) == ['detection', 'meta'] and table['detection']['bbox_mAP_50_area'] == tested[0]['detection']['bbox_mAP_50_area']
    assert table['meta']['planned_iterations'] == tested[0]['meta']['planned_iterations']


@pytest.mark.parametrize('key', ['model', 'test_dataloader', 'test_evaluator'])
def test_a_config_that_lacks_a_part_is_one_line(toy_root, tmp_path, checkpoint, key):
    config = make_config(toy_root, tmp_path)
    config[key] = None
    with pytest.raises(ValueError, match=f'is not a config for testing: it has no {key}'):
        apis.test(config, checkpoint)


def test_every_stage_gets_a_row_with_every_metric(tested):
    table, _ = tested
    assert list(table) == [*toy.STAGES, 'meta']
    for stage in toy.STAGES:
        for key in ('bbox_mAP_50_11point', 'bbox_mAP_50_area', 'CorLoc_50', 'segm_mAP_50_area', 'segm_mAP_75_11point', 'ABO_class', 'mIoU'):
            assert 0 <= table[stage][key] <= 100, (stage, key)
        assert set(table[stage]['per_class']['CorLoc_50']) == {'lolly', 'cone', 'tree', 'kite'}


def test_the_file_holds_the_table_unrounded(tested):
    table, written = tested
    assert written == table


def test_meta_says_what_the_numbers_rest_on(tested, checkpoint):
    meta = tested[0]['meta']
    assert meta['checkpoint_sha256'] == file_hash(checkpoint)
    assert len(meta['config_sha256']) == 64
    assert (meta['seed'], meta['iterations'], meta['planned_iterations']) == (3, 9, 1)
    assert len(meta['recipe_sha256']) == 64
    assert meta['recipe_sha256'] != meta['config_sha256']
    assert (meta['test']['split'], meta['test']['protocol'], meta['test']['images'], meta['test']['data']) == (
        'test',
        'test',
        2,
        'rendered',
    )
    assert (meta['corloc']['split'], meta['corloc']['protocol'], meta['corloc']['images']) == ('train', 'corloc', 6)
    assert {'python', 'mmlabelpenet', 'torch', 'mmdet'} <= set(meta['versions'])
    assert meta['commit'] is None or len(meta['commit'].rstrip('+')) == 40
    assert meta['wall_time_s'] > 0


def test_one_stage_scores_the_same_alone_and_corloc_is_null_where_not_asked_for(tested, toy_root, checkpoint, tmp_path):
    table = apis.test(make_config(toy_root, tmp_path), checkpoint, stages='detection')
    assert list(table) == ['detection', 'meta']
    assert table['detection']['CorLoc_50'] is None
    assert table['meta']['corloc'] is None
    together = tested[0]['detection']
    assert all(value == together[key] for key, value in table['detection'].items() if 'CorLoc' not in key and key != 'per_class')


def test_the_stages_metric_may_stand_in_a_list_beside_others(tested, toy_root, checkpoint, tmp_path):
    config = make_config(toy_root, tmp_path)
    config.test_evaluator = [dict(type='mmengine.DumpResults', out_file_path=str(tmp_path / 'all.pkl')), config.test_evaluator]
    table = apis.test(config, checkpoint, stages='detection', dump=tmp_path / 'results.json')
    assert table['detection']['bbox_mAP_50_area'] == tested[0]['detection']['bbox_mAP_50_area']
    assert (tmp_path / 'all.pkl').is_file() and (tmp_path / 'results.json').is_file()


def test_an_evaluator_without_the_stages_metric_is_an_error(toy_root, checkpoint, tmp_path):
    config = make_config(toy_root, tmp_path)
    config.test_evaluator = [dict(type='mmdet.OpenImagesMetric')]
    with pytest.raises(ValueError, match="one metric with type='StageMetric', got the metrics mmdet.OpenImagesMetric"):
        apis.test(config, checkpoint)


def test_a_checkpoint_is_read_once(toy_root, checkpoint, tmp_path, monkeypatch):
    read, paths = checkpoints.read_tensors, []
    monkeypatch.setattr(checkpoints, 'read_tensors', lambda path: paths.append(path) or read(path))
    apis.test(make_config(toy_root, tmp_path), checkpoint, stages='detection', corloc=True)
    assert paths == [checkpoint]


def test_a_config_without_corloc_loader_gives_null_and_config_and_checkpoint_stay_as_they_were(toy_root, checkpoint, tmp_path):
    config = make_config(toy_root, tmp_path)
    config.pop('corloc_dataloader')
    config.pop('corloc_evaluator')
    before, hashed = copy.deepcopy(config.to_dict()), file_hash(checkpoint)
    assert apis.test(config, checkpoint, stages='detection', corloc=True)['detection']['CorLoc_50'] is None
    assert (config.to_dict(), file_hash(checkpoint)) == (before, hashed)


def test_without_masks_boxes_score_the_same_and_mask_metrics_are_null(tested, toy_root, checkpoint, tmp_path):
    config = make_config(toy_root, tmp_path)
    config.model.test_cfg.with_masks = False
    config.model.test_cfg.stages = list(toy.STAGES)
    table, _ = run_test(config, checkpoint, toy.STAGES)
    for stage in toy.STAGES:
        assert table[stage]['bbox_mAP_50_area'] == tested[0][stage]['bbox_mAP_50_area']
        for key in ('segm_mAP_50_area', 'ABO_class', 'mIoU'):
            assert table[stage][key] is None, (stage, key)


def test_a_checkpoint_of_another_model_is_an_error(toy_root, tmp_path):
    torch.save({'state_dict': toy.build(toy.model_config(toy.STAGES[:2])).state_dict()}, tmp_path / 'short.pth')
    with pytest.raises(ValueError, match='another model') as error:
        apis.test(make_config(toy_root, tmp_path), tmp_path / 'short.pth')
    assert 'stages.refinement.' in str(error.value)


def test_a_checkpoint_whose_classes_stand_in_another_order_is_an_error(toy_root, tmp_path):
    content = dict(state_dict=toy.build(toy.model_config()).state_dict(), meta=dict(dataset_meta=dict(classes=('a', 'b', 'c', 'd'))))
    torch.save(content, tmp_path / 'iter_1.pth')
    with pytest.raises(ValueError, match='iter_1.pth was trained on the classes a, b, c, d, the config has lolly'):
        apis.test(make_config(toy_root, tmp_path), tmp_path / 'iter_1.pth')


def test_a_missing_checkpoint_is_an_error(toy_root, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        apis.test(make_config(toy_root, tmp_path), tmp_path / 'nothing.pth')


@pytest.mark.parametrize('kind', ['test', 'corloc'])
def test_a_metric_of_other_images_is_an_error_before_anything_is_built(toy_root, checkpoint, tmp_path, kind):
    config = make_config(toy_root, tmp_path)
    config[f'{kind}_evaluator'].split = dict(test='train', corloc='test')[kind]
    reason = rf"{kind}_dataloader reads split .* {kind}_evaluator compares with split .* lacks \d of its images, such as '.*_00000'"
    with pytest.raises(ValueError, match=reason):
        apis.test(config, checkpoint, corloc=True)


def test_an_unknown_stage_is_an_error(toy_root, tmp_path, checkpoint):
    with pytest.raises(ValueError, match='has the stages classification, detection, refinement, segmentation, not masks'):
        apis.test(make_config(toy_root, tmp_path), checkpoint, stages='masks')


def test_a_stage_that_the_model_lacks_is_an_error():
    with pytest.raises(ValueError, match='not segmentation'):
        choose_stages('segmentation', toy.STAGES[:2])


def test_stages_come_in_their_order():
    assert choose_stages(['segmentation', 'detection'], toy.STAGES) == ['detection', 'segmentation']


def load_tool(path=TOOL):
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_prints_a_row_a_stage_and_writes_the_file(tested, toy_root, checkpoint, tmp_path, capsys):
    config = make_config(toy_root, tmp_path / 'work')
    config.dump(tmp_path / 'config.py')
    out = tmp_path / 'metrics.json'
    arguments = [str(tmp_path / 'config.py'), str(checkpoint), '--out', str(out), '--work-dir', str(tmp_path / 'work')]
    load_tool().main([*arguments, '--cfg-options', 'test_evaluator.semantic_score_thr=0.2', 'model.test_cfg.max_masks=2'])
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[-4:]]
    assert rows == list(toy.STAGES)
    written = json.loads(out.read_text())
    assert written['meta']['test']['semantic_score_thr'] == 0.2
    assert written['detection']['bbox_mAP_50_area'] == tested[0]['detection']['bbox_mAP_50_area']


def test_the_dump_of_a_stage_scores_as_the_test_did(tested, toy_root, checkpoint, tmp_path):
    classes = tested[1]['detection']['per_class']['CorLoc_50']
    table = apis.test(make_config(toy_root, tmp_path / 'work'), checkpoint, stages='segmentation', dump=tmp_path / 'results.json')
    assert table['meta']['test']['dump'] == [str(tmp_path / 'results.json')]
    entries = json.loads((tmp_path / 'results.json').read_text())
    assert {entry['category_name'] for entry in entries} <= set(classes)
    offline = load_tool(TOOL.parent / 'analysis_tools/eval_predictions.py')
    options = ['--classes', *classes, '--name', 'segmentation', '--out', str(tmp_path / 'metrics.json')]
    offline.main([str(toy_root), 'test', str(tmp_path / 'results.json'), *options])
    scored, online = json.loads((tmp_path / 'metrics.json').read_text())['segmentation'], tested[1]['segmentation']
    assert {key: value for key, value in scored.items() if 'CorLoc' not in key and key != 'per_class'} == {
        key: value for key, value in online.items() if 'CorLoc' not in key and key != 'per_class'
    }


def test_the_command_takes_the_stages_of_the_config(toy_root, checkpoint, tmp_path):
    config = make_config(toy_root, tmp_path / 'work')
    config.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match='this config has the stages classification, .*, segmentation, not polish'):
        load_tool().main([str(tmp_path / 'config.py'), str(checkpoint), '--stage', 'polish'])


def test_help_comes_without_importing_torch():
    code = f"""
import runpy, sys
sys.argv = ['test.py', '--help']
try:
    runpy.run_path({str(TOOL)!r}, run_name='__main__')
except SystemExit:
    sys.exit('torch' in sys.modules)
"""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert '--corloc' in result.stdout


def test_a_second_test_that_writes_the_same_dump_is_refused(toy_root, checkpoint, tmp_path):
    dump = tmp_path / 'results.json'
    with locked(dump), pytest.raises(ValueError, match='results.json. is being written by'):
        apis.test(make_config(toy_root, tmp_path / 'work'), checkpoint, dump=dump)
