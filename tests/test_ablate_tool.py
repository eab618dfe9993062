"""The command that runs ablations, on the toy network."""

import importlib.util
import itertools
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import toy

from mmlabelpenet.workbench.experiments import batch

ROOT = Path(__file__).resolve().parents[1]
NAMES = itertools.count()


def load_tool():
    spec = importlib.util.spec_from_file_location('ablate', ROOT / 'tools/analysis_tools/ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def tool():
    return load_tool()


@pytest.fixture(scope='module')
def configs(toy_root, tmp_path_factory):
    """A base and two variants of it, of which one cannot work."""
    folder = tmp_path_factory.mktemp('configs')
    config = toy.run_config(toy_root, 'unused', [('classification', 2), ('detection', 1)], stages=toy.STAGES[:2])
    config.pop('work_dir')
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
    config.test_evaluator = dict(
        type='StageMetric', data_root=str(toy_root), split='test', protocol='test', mask_classes=dataset['metainfo']['classes']
    )
    config.test_cfg = dict(type='TestLoop')
    (folder / 'base.py').write_text(config.pretty_text)
    (folder / 'wsddn.py').write_text(
        "_base_ = 'base.py'\n"
        "__head = dict(bbox_head=dict(mil_loss=dict(type='WSDDNLoss')))\n"
        'model = dict(stages=dict(classification=dict(detector=dict(roi_head=__head))))\n'
    )
    (folder / 'broken.py').write_text("_base_ = 'base.py'\nmodel = dict(num_clases=4)\n")
    return folder


def in_this_process(command, log):
    """Run a tool as a process would, without starting Python and its imports again."""
    log.parent.mkdir(parents=True, exist_ok=True)
    argv, sys.argv = sys.argv, [*command[1:], f'experiment_name=ablate_{next(NAMES)}']  # of a runner, one in a process
    try:
        runpy.run_path(command[1], run_name='__main__')
    except SystemExit as end:
        with log.open('a') as file:
            file.write(f'{end.code}\n')
        return 1
    finally:
        sys.argv = argv
    return 0


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds
    monkeypatch.setattr(batch, 'execute', in_this_process)


@pytest.mark.usefixtures('_quick')
def test_configs_are_trained_tested_skipped_and_compared(tool, configs, tmp_path, capsys):
    arguments = [str(configs / f'{name}.py') for name in ('wsddn', 'broken')]
    arguments += ['--base', str(configs / 'base.py'), '--out', str(tmp_path), '--metrics', 'mIoU', 'bbox_mAP_50_area']
    assert tool.main(arguments) == 1
    out, err = capsys.readouterr()
    assert 'base seed 0: done' in out and 'wsddn seed 0: done' in out
    (line,) = [line for line in err.splitlines() if line.startswith('broken seed 0: left out')]
    assert "model.num_clases: LabelPENet has no such argument. Did you mean 'num_classes'?" in line
    comparison = json.loads((tmp_path / 'ablations.json').read_text())
    assert [entry['name'] for entry in comparison['configs']] == ['base', 'wsddn']
    for entry in comparison['configs']:
        measured = json.loads((tmp_path / entry['name'] / 'seed0/metrics.json').read_text())
        assert entry['last'] == 'detection' and entry['stages']['last']['mIoU']['mean'] == measured['detection']['mIoU']
    assert '| wsddn | detection | 0 |' in (tmp_path / 'ablations.md').read_text()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob('*/seed0/*.pth')}
    assert len(times) >= 2
    assert tool.main([str(configs / 'base.py'), str(configs / 'wsddn.py'), '--out', str(tmp_path)]) == 0
    assert 'base seed 0: skipped, done before\nwsddn seed 0: skipped' in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_dry_run_prints_commands_and_writes_nothing(tool, configs, tmp_path, capsys):
    assert tool.main([str(configs / 'base.py'), '--seeds', '0', '1', '--out', str(tmp_path / 'none'), '--dry-run']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('#')] == ['# base seed 0', '# base seed 1'] and len(lines) == 6
    assert lines[1].startswith(sys.executable) and 'tools/train.py' in lines[1] and 'tools/test.py' in lines[2]
    assert not (tmp_path / 'none').exists()


def test_without_any_result_there_is_no_table(tool, configs, tmp_path):
    with pytest.raises(ValueError, match='The base base has no result'):
        tool.main([str(configs / 'base.py'), '--out', str(tmp_path), '--collect'])


def test_help_loads_no_framework():
    code = f"""
import runpy, sys
sys.argv = ['ablate.py', '--help']
try:
    runpy.run_path({str(ROOT / 'tools/analysis_tools/ablate.py')!r}, run_name='__main__')
except SystemExit as end:
    sys.exit(end.code or bool({{'torch', 'mmengine', 'numpy'}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and '--slurm' in result.stdout


def stub(tmp_path, name):
    (tmp_path / name).write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / name).chmod(0o755)


@pytest.mark.parametrize('base', ['lite0_rendered', 'vgg16_voc07'])
def test_the_script_hands_over_every_ablation_of_a_base(tmp_path, base):
    stub(tmp_path, 'python')
    environment = os.environ | dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', BASE=base)
    words = subprocess.run(
        ['bash', ROOT / 'tools/run_ablations.sh', '--seeds', '0', '1'],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    ).stdout.splitlines()
    ablations = sorted(str(path) for path in ROOT.glob(f'configs/labelpenet/ablations/{base}_*.py'))
    end = ['--base', f'{ROOT}/configs/labelpenet/labelpenet_{base}.py', '--out', f'work_dirs/ablations/{base}', '--seeds', '0', '1']
    assert ablations and sorted(words[1 : -len(end)]) == ablations and words[-len(end) :] == end
    assert words[0] == f'{ROOT}/tools/analysis_tools/ablate.py'


def test_a_base_without_ablations_is_named():
    result = subprocess.run(
        ['bash', ROOT / 'tools/run_ablations.sh'], env=os.environ | dict(BASE='nothing'), capture_output=True, text=True, check=False
    )
    assert result.returncode == 2 and 'There is no configs/labelpenet/ablations/nothing_*.py.' in result.stderr
