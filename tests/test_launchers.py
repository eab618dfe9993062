"""Scripts that launch several processes: one or more configs, and messages for invalid input."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from toy import write_config

from mmlabelpenet.apis.train import allow_cpu_ranks, note_run
from mmlabelpenet.commands import launch
from mmlabelpenet.workbench.experiments import batch, jobs

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
FILES = {'dist_train.sh': 'train', 'dist_test.sh': 'test', 'slurm_train.sh': 'slurm'}


WITHOUT_DATA = {f'{name}_dataloader.dataset.proposals': 'none.npz' for name in ('train', 'label', 'test')}


@pytest.fixture
def configs(toy_root, tmp_path, monkeypatch):
    """``A.py`` trains, ``B.py`` lacks its proposals, ``C.py`` breaks in training; in the folder that tests run in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('NNODES', raising=False)
    write_config(Path('A.py'), toy_root)
    write_config(Path('B.py'), toy_root, **WITHOUT_DATA)
    write_config(Path('C.py'), toy_root, **{'optim_wrapper.optimizer.lr': 1e30})


@pytest.fixture
def started(configs, monkeypatch):
    """Commands that were started. In place of processes: C breaks in training, the others leave what the tools leave."""
    seen = []

    def execute(command, log):
        seen.append(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        if command[-1] == '--broken' or log.parent.name == 'C':
            log.write_text('[rank0]: FloatingPointError: the loss is not finite\n')
            return 1
        if 'test.py' in ' '.join(command):
            Path(command[command.index('--out') + 1]).write_text('{}')
        else:
            (log.parent / 'iter_3.pth').write_bytes(b'PK\x05\x06' + bytes(18))
        return 0

    monkeypatch.setattr(batch, 'execute', execute)
    return seen


def table(text):
    """``config -> (result, reason)`` of the table at the end."""
    lines = text[text.index('config  ') :].splitlines()[1:]
    rows = [line.replace('left out', 'left_out').split(maxsplit=2) for line in lines[: lines.index('') if '' in lines else None]]
    return {row[0]: (row[1], row[2] if len(row) > 2 else '') for row in rows}


def names(commands):
    return [next(word for word in command if word.endswith('.py') and '/' not in word) for command in commands]


@pytest.mark.parametrize(('script', 'kind'), FILES.items())
def test_the_scripts_hand_everything_on(tmp_path, script, kind):
    (tmp_path / 'python').write_text('#!/bin/bash\nprintf "%s\\n" "$PYTHONPATH" "$@"\n')
    (tmp_path / 'python').chmod(0o755)
    environment = os.environ | dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', PYTHONPATH='mine')
    result = subprocess.run(['bash', str(TOOLS / script), 'a b.py', '4', '--x'], env=environment, capture_output=True, text=True)
    assert result.stdout.splitlines() == [f'{TOOLS.parent}:mine', str(TOOLS / 'launch.py'), kind, 'a b.py', '4', '--x']


@pytest.mark.parametrize(('script', 'kind'), FILES.items())
def test_without_arguments_the_usage_is_shown_and_help_says_more(capsys, script, kind):
    assert launch.main([kind]) == 2 and f'Usage: bash tools/{script} ' in capsys.readouterr().err
    assert launch.main([kind, '--help']) == 0 and '--dry-run' in capsys.readouterr().out
    assert launch.main(['--help']) == 0 and '--dry-run' in capsys.readouterr().out
    assert launch.main([script]) == 2 and '--dry-run' in capsys.readouterr().err


def test_one_config_is_started_in_place_of_the_launcher(configs, monkeypatch):
    started = []
    monkeypatch.setattr(os, 'execvp', lambda file, command: started.append(command))
    launch.main(['train', 'A.py', '2', '--work-dir', 'a b', '--cfg-options', 'log_level=ERROR', 'randomness.seed=1'])
    assert started[0][:3] == [sys.executable, '-m', 'torch.distributed.run']
    words = [str(TOOLS / 'train.py'), 'A.py', '--launcher', 'pytorch', '--work-dir', 'a b', '--cfg-options', 'log_level=ERROR']
    assert started[0][-9:] == [*words, 'randomness.seed=1']  # neither resumed nor moved: as without the launcher
    Path('iter_1.pth').write_bytes(b'')
    launch.main(['test', 'A.py', 'iter_1.pth', '2', '--stage', 'detection'])
    assert started[1][-7:] == [str(TOOLS / 'test.py'), 'A.py', 'iter_1.pth', '--launcher', 'pytorch', '--stage', 'detection']


def test_one_config_under_slurm_is_printed_or_submitted(configs, monkeypatch, capsys):
    assert launch.main(['slurm', 'gpu', 'A.py', '16', '--amp', '--dry-run']) == 0
    command = shlex.split(capsys.readouterr().out)
    assert command[:3] == ['srun', '-p', 'gpu'] and command[-4:] == [str(TOOLS / 'dist_train.sh'), 'A.py', '8', '--amp']
    started = []
    monkeypatch.setattr(os, 'execvp', lambda file, command: started.append(command))
    monkeypatch.setattr('shutil.which', lambda name: f'/usr/bin/{name}')
    launch.main(['slurm', 'gpu', 'A.py', '16', '--amp'])
    assert started == [command]


def test_data_that_only_the_nodes_see_is_not_looked_for(configs, capsys):
    with pytest.raises(FileNotFoundError, match="Expected proposals in 'none.npz'"):
        launch.main(['slurm', 'gpu', 'B.py', '16', '--dry-run'])
    assert launch.main(['slurm', 'gpu', 'B.py', '16', '--dry-run', '--no-check']) == 0
    assert capsys.readouterr().out.startswith('srun')


def test_many_configs_are_trained_one_after_the_other_and_a_table_tells_how_each_ended(started, capsys):
    assert launch.main(['train', 'A.py', 'B.py', 'C.py', '2', '--amp']) == 1
    out = capsys.readouterr().out
    assert out.index('B.py: left out') < out.index('A.py: started') < out.index('C.py: started') and names(started) == ['A.py', 'C.py']
    assert started[0][-7:] == ['A.py', '--launcher', 'pytorch', '--work-dir', 'work_dirs/A', '--resume', '--amp']
    found = table(out)
    assert found['A.py'] == ('done', '') and found['B.py'][0] == 'left_out' and found['C.py'][0] == 'failed'
    assert "proposals in 'none.npz'" in found['B.py'][1] and 'tools/dataset_converters/selective_search.py' in found['B.py'][1]
    assert found['C.py'][1] == 'train.py: FloatingPointError: the loss is not finite (work_dirs/C/output.txt)'
    started.clear()
    assert launch.main(['train', 'A.py', 'C.py', '2']) == 1
    assert names(started) == ['C.py'] and table(capsys.readouterr().out)['A.py'] == ('skipped', 'done before')
    assert launch.main(['train', 'A.py', 'A.py', '2']) == 0
    assert capsys.readouterr().err == 'A.py is given twice; the duplicate is ignored.\n'


def test_many_configs_have_folders_of_their_own_in_a_work_dir(started):
    assert launch.main(['train', 'A.py', 'C.py', '2', '--work-dir', 'all', '--resume']) == 1
    assert [command[-3:] for command in started] == [['--work-dir', f'all/{name}', '--resume'] for name in 'AC']


def test_many_configs_are_tested_with_their_last_or_a_given_checkpoint(started, capsys, monkeypatch):
    launch.main(['train', 'A.py', '2', '--work-dir', 'unused', '--dry-run'])
    for name in 'AC':
        Path(f'work_dirs/{name}').mkdir(parents=True)
        Path(f'work_dirs/{name}/iter_3.pth').write_bytes(b'PK\x05\x06' + bytes(18))
    Path('given.pth').write_text('')
    monkeypatch.setattr(jobs.EvaluationJob, 'confirm', lambda self: None)
    assert launch.main(['test', 'A.py', 'B.py', 'C.py', 'given.pth', '2', '--stage', 'detection', '--dump', 'found.json']) == 1
    found = table(capsys.readouterr().out)
    assert [row[0] for row in found.values()] == ['done', 'left_out', 'done']
    assert found['B.py'][1].startswith('work_dirs/B contains no checkpoint. Train first: bash tools/dist_train.sh B.py GPUS')
    first, second = started
    files = ['--out', 'work_dirs/A/metrics.json', '--dump', 'work_dirs/A/found.json', '--stage', 'detection']
    assert first[-12:] == ['A.py', 'work_dirs/A/iter_3.pth', '--launcher', 'pytorch', '--work-dir', 'work_dirs/A/test', *files][-12:]
    assert second[second.index('C.py') + 1] == 'given.pth'


def test_a_dry_run_of_many_prints_what_would_be_submitted(configs, capsys):
    assert launch.main(['slurm', 'gpu', 'A.py', 'B.py', 'C.py', '16', '--dry-run']) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith('#  ')]
    assert [line for line in lines if line.startswith('#')] == ['# A.py', '# B.py: left out', '# C.py'] and len(lines) == 5
    for line, name, port in ((lines[1], 'A', 29500), (lines[4], 'C', 29501)):
        assert f'PORT={port} ' in line and line.endswith(f'tools/dist_train.sh {name}.py 8 --work-dir work_dirs/{name} --resume')
    assert not Path('work_dirs').exists()


@pytest.mark.parametrize(
    ('words', 'error'),
    [
        (['train', 'A.py'], 'The number of GPUs is missing. Usage: bash tools/dist_train.sh'),
        (['train', 'A.py', 'C.py'], 'The number of GPUs is missing'),
        (['train', '4'], 'The config is missing'),
        (['train', 'A.py', '0'], 'At least one GPU is needed, got 0'),
        (['train', '--amp', 'A.py', '2'], '--amp precedes the number of GPUs; options must follow it'),
        (['train', 'configs', '2'], "'configs' is not a config (a .py file)"),
        (['train', 'none.py', '2'], 'Config none.py does not exist'),
        (['train', 'A.py', '2', '--cfg-options', 'modle.a=1'], "modle: no code reads this key. Did you mean 'model'"),
        (['train', 'A.py', 'C.py', '2', '--resume', 'iter_1.pth'], 'Several configs cannot resume from one checkpoint'),
        (['test', 'A.py', 'none.pth', '2'], 'Checkpoint none.pth does not exist'),
        (['test', 'none.pth', 'A.py', '2'], "'none.pth' is not a config"),
        (['test', 'A.py', 'a.pth', 'b.pth', '2'], "'b.pth' is neither a config nor the checkpoint of the preceding config"),
        (
            ['test', 'A.py', 'C.py', '2', '--out', '/tmp/all.json'],
            'With several configs, --out must be a file name',
        ),
        (['slurm', 'gpu', 'A.py'], 'The number of GPUs is missing. Usage: bash tools/slurm_train.sh PARTITION'),
        (['slurm', 'gpu', 'A.py', '12'], 'GPUS must be a multiple of GPUS_PER_NODE, got 12 and 8'),
        (['slurm', 'gpu', 'A.py', '4'], 'the command srun was not found'),
    ],
)
def test_a_command_line_that_makes_no_sense_is_one_line(configs, monkeypatch, words, error):
    monkeypatch.setattr('shutil.which', lambda name: None)
    monkeypatch.setattr(os, 'execvp', lambda *args: pytest.fail('started'))
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        launch.main(words)
    assert error in str(raised.value) and '\n' not in str(raised.value)


def test_an_option_that_the_tool_does_not_have_is_refused(configs, capsys):
    for words in (['A.py', '2'], ['A.py', 'C.py', '2']):
        with pytest.raises(SystemExit):
            launch.main(['train', *words, '--no-such-option'])
        assert 'unrecognized arguments: --no-such-option' in capsys.readouterr().err


def test_what_is_wrong_with_one_of_many_is_a_line_of_the_table(started, capsys):
    Path('typo.py').write_text("_base_ = 'A.py'\nmodel = dict(num_clases=4)\n")
    Path('thief.py').write_text("_base_ = 'A.py'\nwork_dir = 'work_dirs/A'\n")
    Path('sub').mkdir()
    Path('sub/A.py').write_text("_base_ = '../A.py'\n")
    assert launch.main(['train', 'A.py', 'none.py', 'typo.py', 'thief.py', 'sub/A.py', '*.yml', '2']) == 1
    found = table(capsys.readouterr().out)
    assert {name for name, row in found.items() if row[0] == 'left_out'} == set(found) - {'A.py'} and names(started) == ['A.py']
    assert found['none.py'][1].startswith('Config none.py does not exist.') and found['*.yml'][1].startswith('Config *.yml does not')
    assert "typo.py:2: model.num_clases: LabelPENet has no such argument. Did you mean 'num_classes'?" == found['typo.py'][1]
    for name in ('thief.py', 'sub/A.py'):
        assert found[name][1] == 'its folder work_dirs/A is also used by A.py. Rename one, or set its work_dir.'


def test_the_work_dir_of_another_config_is_not_touched(started, capsys):
    write_config(Path('other.py'), 'data', work_dir='work_dirs/C')
    note_run(jobs.TrainingJob(Path('other.py')).config)
    Path('work_dirs/C/iter_1.pth').write_text('')
    assert launch.main(['train', 'A.py', 'C.py', '2']) == 1
    reason = 'work_dirs/C contains a run of another config, other.py. Remove it, or choose another folder.'
    assert table(capsys.readouterr().out)['C.py'] == ('left_out', reason) and names(started) == ['A.py']


def test_more_gpus_than_the_machine_has_are_refused(configs, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    with pytest.raises(ValueError, match='4 GPUs were requested, but this machine has 2'):
        launch.main(['train', 'A.py', '4'])


def test_one_process_leaves_the_config_alone():
    config = Config(dict(launcher='none', model_wrapper_cfg=dict(type='MMDistributedDataParallel')))
    before = config.to_dict()
    allow_cpu_ranks(config)
    assert config.to_dict() == before


def run(script, *words, before=(), **environment):
    """Run a script on the CPU."""
    paths = f'{TOOLS.parent}:{TOOLS.parent / "tests"}'
    settings = dict(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1', PORT=str(29600 + os.getpid() % 300), PYTHONPATH=paths)
    command = [*before, 'bash', str(TOOLS / script), *words]
    return subprocess.Popen(command, env=os.environ | settings | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process):
    out, _ = process.communicate(timeout=1200)
    return process.returncode, out


@pytest.mark.slow
def test_three_configs_on_two_ranks_then_what_is_missing_then_their_tests(toy_root, configs):
    code, out = ended(run('dist_train.sh', 'A.py', 'B.py', 'C.py', '2'))
    found = table(out)
    assert code == 1 and [row[0] for row in found.values()] == ['done', 'left_out', 'failed'], out
    assert "proposals in 'none.npz'" in found['B.py'][1] and 'FloatingPointError: Iteration 1 of phase classification' in found['C.py'][1]

    Path('work_dirs/A/iter_3.pth').unlink()  # as if it had been interrupted
    first = Path('work_dirs/A/iter_2.pth').stat().st_mtime_ns
    Path('none.npz').write_bytes(Path(toy.dataset_config(toy_root)['proposals']).read_bytes())
    code, out = ended(run('dist_train.sh', 'A.py', 'B.py', 'C.py', '2'))
    assert code == 1 and [row[0] for row in table(out).values()] == ['done', 'done', 'failed'], out
    assert Path('work_dirs/A/iter_3.pth').is_file() and Path('work_dirs/A/iter_2.pth').stat().st_mtime_ns == first  # it was resumed
    code, out = ended(run('dist_train.sh', 'A.py', 'B.py', '2'))
    assert code == 0 and [row[0] for row in table(out).values()] == ['skipped', 'skipped'], out

    code, out = ended(run('dist_test.sh', 'A.py', 'B.py', 'C.py', '2'))
    found = table(out)
    assert code == 1 and [row[0] for row in found.values()] == ['done', 'failed', 'left_out'], out
    assert "'none.npz' has no proposals for 2 of 2 images" in found['B.py'][1]  # they are those of the training images
    assert 'work_dirs/C contains no checkpoint' in found['C.py'][1]
    code, out = ended(run('dist_test.sh', 'A.py', 'C.py', 'work_dirs/A/iter_3.pth', '2'))
    assert code == 0 and [row[0] for row in table(out).values()] == ['skipped', 'done'], out
    assert Path('work_dirs/C/metrics.json').is_file()

    code, out = ended(run('slurm_train.sh', 'gpu', 'A.py', 'B.py', 'C.py', '2', '--dry-run'))
    assert code == 0 and [line for line in out.splitlines() if line.startswith('#')] == [
        '# A.py: skipped, done before',
        '# B.py: skipped, done before',
        '# C.py',
    ]


@pytest.mark.slow
def test_two_nodes_train_the_same_configs_together(configs):
    nodes = [run('dist_train.sh', 'A.py', 'B.py', 'C.py', '1', NNODES='2', NODE_RANK=str(node)) for node in (0, 1)]
    for code, out in map(ended, nodes):
        assert code == 1 and [row[0] for row in table(out).values()] == ['done', 'left_out', 'failed'], out
    assert Path('work_dirs/A/iter_3.pth').is_file()


@pytest.fixture
def two_networks():
    """Two network namespaces joined by a cable, as two machines are; the test is skipped where they may not be made."""
    names = [f'labelpenet{os.getpid()}-{end}' for end in 'ab']
    steps = [f'netns add {name}' for name in names] + [f'link add va netns {names[0]} type veth peer name vb netns {names[1]}']
    for name, device, address in zip(names, ('va', 'vb'), ('10.77.0.1', '10.77.0.2'), strict=True):
        steps += [f'-n {name} addr add {address}/24 dev {device}', f'-n {name} link set {device} up', f'-n {name} link set lo up']
    try:
        for step in steps:
            done = subprocess.run(['ip', *step.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f'network namespaces cannot be made: {done.stderr.strip()}')
        yield names
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('ip') is None, reason='needs the command ip (iproute2)')
def test_two_machines_train_one_config_over_a_network(configs, two_networks):
    def start(node, name, device):
        settings = dict(NNODES='2', NODE_RANK=str(node), MASTER_ADDR='10.77.0.1', GLOO_SOCKET_IFNAME=device)
        return run('dist_train.sh', 'A.py', '1', '--work-dir', 'both', before=['ip', 'netns', 'exec', name], **settings)

    nodes = [start(0, two_networks[0], 'va'), start(1, two_networks[1], 'vb')]
    assert [code for code, _ in map(ended, nodes)] == [0, 0]
    code, out = ended(run('dist_train.sh', 'A.py', '2', '--work-dir', 'one'))
    assert code == 0, out
    one, both = (torch.load(f'{folder}/iter_3.pth', weights_only=False)['state_dict'] for folder in ('one', 'both'))
    assert all(torch.equal(value, both[name]) for name, value in one.items())
