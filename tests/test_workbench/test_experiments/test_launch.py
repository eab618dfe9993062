"""Commands for a single process, several processes and Slurm; their output and error messages."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from mmlabelpenet.workbench.experiments.launch import TOOLS, Launch, execute, last_error


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PORT', 'GPUS_PER_NODE', 'CPUS_PER_TASK', 'JOB_NAME', 'SRUN_ARGS'):
        monkeypatch.delenv(name, raising=False)


def value(words, option):
    return words[words.index(option) + 1]


def test_a_single_process_runs_the_tool_itself():
    assert Launch().command('train.py', ['a.py'], ['--resume']) == [sys.executable, str(TOOLS / 'train.py'), 'a.py', '--resume']
    assert 'torch.distributed.run' in Launch(torchrun=True).command('train.py', ['a.py'])


def test_several_gpus_are_one_process_each_with_all_arguments(monkeypatch):
    monkeypatch.setenv('PORT', '1234')
    words = Launch(4).command('test.py', ['a.py', 'iter_1.pth'], ['--work-dir', 'a b'])
    assert words[:3] == [sys.executable, '-m', 'torch.distributed.run']
    assert [value(words, f'--{name}') for name in ('nproc-per-node', 'master-port', 'nnodes')] == ['4', '1234', '1']
    assert words[-7:] == [str(TOOLS / 'test.py'), 'a.py', 'iter_1.pth', '--launcher', 'pytorch', '--work-dir', 'a b']


def test_several_machines_are_named_by_the_environment(monkeypatch):
    for name, setting in dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1').items():
        monkeypatch.setenv(name, setting)
    words = Launch(8).command('train.py', ['a.py'])
    assert [value(words, f'--{name}') for name in ('nnodes', 'node-rank', 'master-addr')] == ['2', '1', '10.0.0.1']


def test_slurm_starts_one_launcher_per_node(monkeypatch):
    monkeypatch.setenv('SRUN_ARGS', "--time 48:00:00 --comment 'a b'")
    words = Launch(16, 'gpu', port=1234).command('train.py', ['a.py'], ['--amp'])
    assert words[0] == 'srun' and value(words, '-p') == 'gpu' and value(words, '--nodes') == value(words, '--ntasks') == '2'
    assert value(words, '--gres') == 'gpu:8' and value(words, '--cpus-per-task') == '32' and value(words, '--comment') == 'a b'
    assert words[-4:] == [str(TOOLS / 'dist_train.sh'), 'a.py', '8', '--amp']
    assert '--kill-on-bad-exit=1' in words  # its value is optional: as a word of its own srun takes it for the command


def test_a_node_of_slurm_knows_its_number_and_the_first_node(tmp_path):
    (tmp_path / 'scontrol').write_text('#!/bin/bash\nprintf "first\\nsecond\\n"\n')
    (tmp_path / 'scontrol').chmod(0o755)
    (tmp_path / 'show.sh').write_text('echo $NNODES $NODE_RANK $MASTER_ADDR $PORT "$@"')
    words = Launch(16, 'gpu', port=1234).command('train.py', ['a b.py'], ['--amp'])
    on_a_node = words[words.index('bash') :]
    on_a_node[3] = str(tmp_path / 'show.sh')
    environment = os.environ | dict(SLURM_NODEID='1', SLURM_JOB_NODELIST='x', PATH=f'{tmp_path}:{os.environ["PATH"]}')
    shown = subprocess.run(on_a_node, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown == '2 1 first 1234 a b.py 8 --amp\n'


def test_gpus_that_do_not_fill_the_nodes_are_refused(monkeypatch):
    monkeypatch.setenv('GPUS_PER_NODE', '4')
    with pytest.raises(ValueError, match='GPUS must be a multiple of GPUS_PER_NODE, got 5 and 4'):
        Launch(5, 'gpu').command('train.py', ['a.py'])


def test_a_process_leaves_its_output_and_its_code(tmp_path):
    code = 'import sys; print("seen"); sys.exit("Error: bad")'
    assert execute([sys.executable, '-c', code], tmp_path / 'sub/log') == 1
    command, *output = (tmp_path / 'sub/log').read_text().splitlines()
    assert command == f'$ {shlex.join([sys.executable, "-c", code])}' and output == ['seen', 'Error: bad']


def test_a_process_is_ended_when_its_launcher_is_interrupted(tmp_path, monkeypatch):
    def interrupt(process, timeout=None):
        if timeout is None:
            while not (tmp_path / 'log').read_text().endswith('here\n'):
                time.sleep(0.01)
            raise KeyboardInterrupt
        return wait(process, timeout)

    wait = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, 'wait', interrupt)
    with pytest.raises(KeyboardInterrupt):
        execute(['bash', '-c', 'trap "echo ended; exit 3" TERM; echo here; while :; do sleep 0.05; done'], tmp_path / 'log')
    monkeypatch.undo()
    assert (tmp_path / 'log').read_text().endswith('here\nended\n')


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('a\nFileNotFoundError: x\n\n', 'FileNotFoundError: x'),
        ('[rank1]: Traceback (most recent call last):\n[rank1]: ValueError: x\n', 'ValueError: x'),
        ('Error: x\ntorch.distributed.elastic.ChildFailedError: \n====\n', 'Error: x'),
        ('torch.distributed.elastic.ChildFailedError: y\n====\n', 'torch.distributed.elastic.ChildFailedError: y'),
        ('torch.distributed.elastic.ChildFailedError: \n traceback : Signal 9 (SIGKILL) by PID 7\n==\n', 'Signal 9 (SIGKILL) by PID 7'),
        ('Error: x\ntorch.distributed.elastic.ChildFailedError: \n traceback : Signal 15 (SIGTERM) by PID 7\n', 'Error: x'),
        ('Error: Make them with\n    python tools/x.py\n==\n', 'Error: Make them with\n    python tools/x.py'),
        ('$ first\nError: x\n$ second\nonly this\n', 'only this'),
        ('$ first\nError: x\n$ second\n', 'no output'),
        ('only this', 'only this'),
        ('', 'no output'),
    ],
)
def test_the_last_line_of_the_last_command_that_names_an_error_is_found(tmp_path, text, line):
    (tmp_path / 'log').write_text(text)
    assert last_error(tmp_path / 'log') == line and last_error(tmp_path / 'none') == 'no output'
