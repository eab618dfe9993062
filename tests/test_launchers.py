"""The scripts that start several processes hand everything on."""

import os
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config

from mmlabelpenet.apis.train import allow_cpu_ranks

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
STUBS = {
    'python': 'printf "%s\\n" "$@"',
    'srun': 'printf "srun %s\\n" "$*"; while [ "$1" != bash ]; do shift; done; SLURM_NODEID=1 SLURM_JOB_NODELIST=a,b exec "$@"',
    'scontrol': 'printf "first\\nsecond\\n"',
}


@pytest.fixture
def start(tmp_path):
    """Run a script among stand-ins that print their arguments."""
    for name, body in STUBS.items():
        (tmp_path / name).write_text(f'#!/bin/bash\n{body}\n')
        (tmp_path / name).chmod(0o755)

    def run(script, *arguments, **environment):
        path = f'{tmp_path}:{os.environ["PATH"]}'
        command = ['bash', str(TOOLS / script), *arguments]
        return subprocess.run(command, env={**os.environ, 'PATH': path, **environment}, capture_output=True, text=True)

    return run


def values(words, option):
    return words[words.index(option) + 1]


def test_training_starts_one_process_per_gpu_with_all_arguments(start):
    words = start('dist_train.sh', 'config.py', '4', '--work-dir', 'a b', PORT='1234').stdout.splitlines()
    assert values(words, '--nproc-per-node') == '4' and values(words, '--master-port') == '1234' and values(words, '--nnodes') == '1'
    assert words[-6:] == [str(TOOLS / 'train.py'), 'config.py', '--launcher', 'pytorch', '--work-dir', 'a b']


def test_several_machines_are_named_by_the_environment(start):
    words = start('dist_train.sh', 'config.py', '8', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1').stdout.splitlines()
    assert (values(words, '--nnodes'), values(words, '--node-rank'), values(words, '--master-addr')) == ('2', '1', '10.0.0.1')


def test_testing_starts_one_process_per_gpu_with_all_arguments(start):
    words = start('dist_test.sh', 'config.py', 'iter_1.pth', '2', '--stage', 'detection').stdout.splitlines()
    assert values(words, '--nproc-per-node') == '2'
    assert words[-7:] == [str(TOOLS / 'test.py'), 'config.py', 'iter_1.pth', '--launcher', 'pytorch', '--stage', 'detection']


def test_slurm_starts_one_launcher_per_node(start):
    first, *words = start('slurm_train.sh', 'gpu', 'config.py', '16', '--amp').stdout.splitlines()
    assert first.startswith('srun ') and '-p gpu' in first and '--nodes 2' in first and '--gres gpu:8' in first
    assert (values(words, '--nnodes'), values(words, '--node-rank'), values(words, '--master-addr')) == ('2', '1', 'first')
    assert values(words, '--nproc-per-node') == '8' and words[-4:] == ['config.py', '--launcher', 'pytorch', '--amp']


def test_gpus_that_do_not_fill_the_nodes_are_refused(start):
    result = start('slurm_train.sh', 'gpu', 'config.py', '5', GPUS_PER_NODE='4')
    assert result.returncode == 2 and 'multiple of GPUS_PER_NODE, got 5 and 4' in result.stderr and not result.stdout


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_without_arguments_the_usage_is_shown(start, script):
    result = start(script)
    assert result.returncode == 2 and f'bash tools/{script} ' in result.stderr


def test_one_process_leaves_the_config_alone():
    config = Config(dict(launcher='none', model_wrapper_cfg=dict(type='MMDistributedDataParallel')))
    before = config.to_dict()
    allow_cpu_ranks(config)
    assert config.to_dict() == before
