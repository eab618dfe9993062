"""The Slurm scripts with a real single-node Slurm (tests/slurm/cluster.sh); skipped if Slurm and MUNGE are not installed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / 'tests/slurm/cluster.sh'
NEEDS = ('munged', 'slurmctld', 'slurmd')
PATH = f'{os.environ["PATH"]}:/usr/sbin'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(shutil.which(name, path=PATH) for name in NEEDS), reason=f'needs {", ".join(NEEDS)}'),
]


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
    """Environment for commands with a separate Slurm."""
    folder, port = tmp_path_factory.mktemp('slurm'), 21000 + os.getpid() % 4000 * 2
    subprocess.run(['bash', CLUSTER, 'start', folder, str(port)], check=True)
    settings = dict(
        CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1', CPUS_PER_TASK='1', PORT=str(port + 9000), SLURM_CONF=f'{folder}/slurm.conf'
    )
    python = Path(sys.executable).parent
    yield os.environ | settings | dict(PATH=f'{python}:{PATH}', PYTHONPATH=f'{ROOT}:{ROOT / "tests"}')
    subprocess.run(['bash', CLUSTER, 'stop', folder], check=True)


def run(environment, *words):
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(condition, what, seconds=900):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f'{what} did not happen; outputs: {[path.read_text() for path in Path().glob("slurm-*.out")]}'
        time.sleep(0.5)


def wait_for_jobs(environment):
    wait_for(lambda: not run(environment, 'squeue', '--noheader'), 'the end of all jobs')


def weights(path):
    return torch.load(path, weights_only=False)['state_dict']


def test_one_command_trains_on_a_node_with_two_ranks(cluster, toy_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy.write_config(Path('A.py'), toy_root)
    out = run(cluster, 'bash', ROOT / 'tools/slurm_train.sh', 'test', 'A.py', '2', '--work-dir', 'trained')
    assert Path('trained/iter_3.pth').is_file(), out
    run(cluster, 'bash', ROOT / 'tools/dist_train.sh', 'A.py', '2', '--work-dir', 'here')
    here = weights('here/iter_3.pth')
    assert all(torch.equal(value, here[name]) for name, value in weights('trained/iter_3.pth').items())


def test_an_array_of_shards_and_its_merge_write_the_file_of_a_single_run(cluster, toy_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(cluster, 'bash', ROOT / 'tools/slurm_proposals.sh', 'test', '2', toy_root, 'train', 'parts.npz')
    wait_for_jobs(cluster)
    command = [sys.executable, ROOT / 'tools/dataset_converters/selective_search.py', toy_root, 'train', 'whole.npz', '--workers', '1']
    run(cluster, *command)
    assert Path('parts.npz').read_bytes() == Path('whole.npz').read_bytes()


def test_a_job_that_is_requeued_resumes_and_ends_with_the_same_weights(cluster, toy_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = {f'default_hooks.checkpoint.{key}': value for key, value in dict(interval=100, max_keep_ckpts=-1).items()}
    toy.write_config(Path('A.py'), toy_root, **checkpoints, **{'train_cfg.phases.classification.iters': 600})
    train = f'bash {ROOT}/tools/slurm_train.sh test A.py 1 --resume --work-dir requeued'
    job = run(cluster, 'sbatch', '--parsable', '--requeue', '--gres', 'gpu:1', '--open-mode', 'append', '--wrap', train).strip()
    wait_for(lambda: Path('requeued/iter_100.pth').is_file(), 'a checkpoint')
    run(cluster, 'scontrol', 'requeue', job)
    first = Path('requeued/iter_100.pth').stat().st_mtime_ns
    assert not Path('requeued/iter_601.pth').exists()
    wait_for_jobs(cluster)
    assert 'Restarts=1' in run(cluster, 'scontrol', 'show', 'job', job)
    assert Path('requeued/iter_601.pth').is_file(), Path(f'slurm-{job}.out').read_text()
    assert Path('requeued/iter_100.pth').stat().st_mtime_ns == first  # it was resumed
    run(cluster, 'bash', ROOT / 'tools/dist_train.sh', 'A.py', '1', '--work-dir', 'whole')
    whole = weights('whole/iter_601.pth')
    assert all(torch.equal(value, whole[name]) for name, value in weights('requeued/iter_601.pth').items())
