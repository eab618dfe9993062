"""Runs over configs and seeds: finished ones are skipped, interrupted ones resumed, failures reported."""

import json
import sys

import pytest

from mmlabelpenet.apis.config import recipe_hash
from mmlabelpenet.apis.train import note_run
from mmlabelpenet.workbench.experiments import batch
from mmlabelpenet.workbench.experiments.ablation import Run, make_runs
from mmlabelpenet.workbench.experiments.launch import Launch

HINT = 'Configs are in configs/, or use mmlabelpenet::labelpenet/NAME.py.'
ABOUT = dict(protocol='test', data='toy', split='test', images=2, images_in_split=2)


@pytest.fixture
def path(tmp_path):
    """A config of five iterations."""
    path = tmp_path / 'leaf.py'
    train_cfg = 'dict(phases=dict(classification=dict(iters=5)))'
    path.write_text(f'model = dict(stages=dict(classification=dict()))\ntrain_cfg = {train_cfg}\nrandomness = dict(seed=0)\n')
    return path


@pytest.fixture
def run(path, tmp_path):
    return make_runs([path], [1], tmp_path / 'out')[0]


def value(command, option):
    return command[command.index(option) + 1]


class Processes:
    """In place of processes: leave what the tools leave, and fail where told."""

    def __init__(self, runs):
        self.runs, self.fails, self.seen = {run.log: run for run in runs}, (), []

    def __call__(self, command, log):
        run, step = self.runs[log], 'train' if '--resume' in command else 'test'
        self.seen.append(step)
        run.work_dir.mkdir(parents=True, exist_ok=True)
        if step in self.fails:
            log.write_text('Traceback (most recent call last):\n  File "x.py"\nValueError: no such thing\n')
            return 1
        if step == 'train':
            note_run(run.config)
            run.product.write_text('')
        else:
            write_metrics(run)
        return 0


@pytest.fixture
def carry_out(monkeypatch):
    """Carry out runs without processes, and without the data that they read; :class:`Processes` come with it."""

    def carry_out(*runs, launch=None, fails=()):
        processes = Processes(runs)
        processes.fails = fails
        monkeypatch.setattr(batch, 'execute', processes)
        monkeypatch.setattr(Run, 'check', lambda self, promised=(): self.config and None)
        return list(batch.carry_out_all(runs, launch or Launch())), processes

    return carry_out


def write_metrics(run, **changes):
    meta = dict(recipe_sha256=recipe_hash(run.config), seed=run.seed, iterations=5, planned_iterations=5, test=ABOUT) | changes
    run.work_dir.mkdir(parents=True, exist_ok=True)
    run.metrics.write_text(json.dumps({'detection': {'mIoU': 1.0, 'per_class': {}}, 'meta': meta}))


def test_a_new_run_is_trained_and_tested_in_its_own_folder(run, tmp_path):
    train, test = run.commands(Launch())
    folder = tmp_path / 'out/leaf/seed1'
    assert train[0] == sys.executable and train[1].endswith('tools/train.py') and train[2] == str(run.path)
    assert value(train, '--work-dir') == str(folder) and '--resume' in train and train[-1] == 'randomness.seed=1'
    assert (
        test[1].endswith('tools/test.py') and test[3] == str(folder / 'iter_5.pth') and value(test, '--out') == str(folder / 'metrics.json')
    )
    assert '--corloc' in test and value(test, '--work-dir') == str(folder / 'test') and test[-1] == 'randomness.seed=1'


def test_a_finished_run_is_skipped_and_does_nothing(run, carry_out):
    (outcome,), processes = carry_out(run)
    assert outcome.status == 'done' and processes.seen == ['train', 'test']
    (outcome,), processes = carry_out(run)
    assert outcome.status == 'skipped' and processes.seen == []
    run.product.unlink()  # results are enough
    assert carry_out(run)[0][0].status == 'skipped'


def test_an_interrupted_training_is_resumed_and_a_trained_one_only_tested(run):
    run.work_dir.mkdir(parents=True)
    (run.work_dir / 'iter_3.pth').write_text('')
    assert ['--resume' in command for command in run.commands(Launch())] == [True, False]
    (run.work_dir / 'iter_5.pth').write_text('')
    assert ['--resume' in command for command in run.commands(Launch())] == [False]


def test_a_run_that_fails_is_told_with_its_last_error_and_goes_on_later(run, carry_out):
    (outcome,), _ = carry_out(run, fails=['test'])
    assert str(outcome) == f'leaf seed 1: failed, test.py: ValueError: no such thing ({run.work_dir / "output.txt"})'
    (outcome,), processes = carry_out(run)
    assert outcome.status == 'done' and processes.seen == ['test']


def test_a_config_that_does_not_exist_stops_none_of_the_others(path, tmp_path, carry_out):
    outcomes, _ = carry_out(*make_runs([path, tmp_path / 'missing.py'], [0, 1], tmp_path / 'out'))
    reason = f'Config {tmp_path / "missing.py"} does not exist. {HINT}'
    assert [(str(outcome.job), outcome.status, outcome.message) for outcome in outcomes] == [
        ('missing seed 0', 'left out', reason),
        ('missing seed 1', 'left out', reason),
        ('leaf seed 0', 'done', ''),
        ('leaf seed 1', 'done', ''),
    ]


@pytest.mark.parametrize(
    ('changes', 'error'),
    [
        (dict(recipe_sha256='other'), 'belongs to another config, seed or options'),
        (dict(seed=2), 'belongs to another config, seed or options'),
        (dict(iterations=3), 'the checkpoint is not the last: iteration 3 of 5'),
    ],
)
def test_results_of_something_else_are_neither_taken_nor_replaced(run, carry_out, changes, error):
    write_metrics(run, **changes)
    before = run.metrics.read_text()
    (outcome,), processes = carry_out(run)
    assert outcome.status == 'left out' and error in outcome.message and not processes.seen and run.metrics.read_text() == before


def test_a_folder_of_another_config_is_not_gone_on_with(run, path, tmp_path, carry_out):
    carry_out(run, fails=['test'])
    path.write_text(path.read_text().replace('iters=5', 'iters=6'))
    (changed,) = make_runs([path], [1], tmp_path / 'out')
    (other_options,) = make_runs([path], [1], tmp_path / 'out', ['log_level=ERROR'])
    for again in (changed, other_options):
        (outcome,), processes = carry_out(again)
        assert outcome.status == 'left out' and 'contains a run with other settings' in outcome.message and not processes.seen


def test_data_of_training_and_testing_is_looked_for(run, monkeypatch):
    seen = []
    jobs = 'mmlabelpenet.workbench.experiments.jobs'
    monkeypatch.setattr(f'{jobs}.TrainingJob.check', lambda self, promised: seen.append(('train', promised)))
    monkeypatch.setattr(f'{jobs}.EvaluationJob.check', lambda self, promised: seen.append(('test', promised)))
    run.check()
    assert seen == [('train', ()), ('test', {run.product.resolve()})]
    run.work_dir.mkdir(parents=True)
    run.product.write_text('')
    run.check()
    assert [step for step, _ in seen] == ['train', 'test', 'test']


def test_a_tool_that_leaves_nothing_is_a_failure(run, carry_out, monkeypatch):
    carry_out()
    monkeypatch.setattr(batch, 'execute', lambda command, log: 0)
    (outcome,) = batch.carry_out_all([run], Launch())
    assert outcome.status == 'failed' and 'test.py did not write' in outcome.message


def test_configs_that_would_share_a_folder_are_refused():
    with pytest.raises(ValueError, match='names must be unique, got a/x.py and b/x.py'):
        make_runs(['a/x.py', 'b/x.py'], [0], 'out')


def test_slurm_trains_on_many_gpus_and_tests_on_one(run):
    train, test = run.commands(Launch(4, 'gpu'))
    assert train[:3] == test[:3] == ['srun', '-p', 'gpu'] and value(train, '--gres') == 'gpu:4' and value(test, '--gres') == 'gpu:1'
    assert any(word.endswith('tools/dist_train.sh') for word in train) and any(word.endswith('tools/dist_test.sh') for word in test)


def test_several_gpus_of_this_machine_train_together_and_one_process_tests(run):
    train, test = run.commands(Launch(gpus=2))
    assert value(train, '--nproc-per-node') == '2' and value(train, '--launcher') == 'pytorch'
    assert test[1].endswith('tools/test.py') and test[2] == str(run.path)
