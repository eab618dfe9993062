"""Runs over configs and seeds: skipped when done, resumed when interrupted, named when they fail."""

import json
import sys

import pytest

from mmlabelpenet.apis.config import recipe_hash
from mmlabelpenet.workbench.experiments.ablation import Launch, carry_out, carry_out_all, execute, last_error, make_runs

HINT = 'They lie in configs/, or name one mmlabelpenet::labelpenet/NAME.py.'
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


class Fake:
    """Stands in for a process: leaves what the tools leave, and fails where told."""

    def __init__(self, run, fails=()):
        self.run, self.fails, self.seen = run, fails, []

    def __call__(self, command, log, environment):
        step = 'train' if '--resume' in command else 'test'
        self.seen.append(step)
        log.parent.mkdir(parents=True, exist_ok=True)
        if step in self.fails:
            log.write_text('Traceback (most recent call last):\n  File "x.py"\nValueError: no such thing\n')
            return 1
        if step == 'train':
            (self.run.work_dir / 'iter_5.pth').write_text('')
        else:
            write_metrics(self.run)
        return 0


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


def test_a_finished_run_is_skipped_and_does_nothing(run):
    fake = Fake(run)
    assert carry_out(run, Launch(), call=fake).status == 'done' and fake.seen == ['train', 'test']
    assert carry_out(run, Launch(), call=fake).status == 'skipped' and fake.seen == ['train', 'test']


def test_an_interrupted_training_is_resumed_and_a_trained_one_only_tested(run):
    run.work_dir.mkdir(parents=True)
    (run.work_dir / 'iter_3.pth').write_text('')
    assert ['--resume' in command for command in run.commands(Launch())] == [True, False]
    (run.work_dir / 'iter_5.pth').write_text('')
    assert ['--resume' in command for command in run.commands(Launch())] == [False]


def test_a_run_that_fails_is_told_with_its_last_error_and_goes_on_later(run):
    outcome = carry_out(run, Launch(), call=Fake(run, fails=['test']))
    assert str(outcome) == f'leaf seed 1: failed, test.py: ValueError: no such thing ({run.work_dir / "output.txt"})'
    fake = Fake(run)
    assert carry_out(run, Launch(), call=fake).status == 'done' and fake.seen == ['test']


def test_the_others_go_on_after_a_failure(path, tmp_path, monkeypatch):
    runs = make_runs([path, tmp_path / 'missing.py'], [0, 1], tmp_path / 'out')
    by_folder = {run.work_dir: Fake(run, fails=['train'] if run.seed == 0 else []) for run in runs}
    monkeypatch.setattr('mmlabelpenet.workbench.experiments.ablation.execute', lambda *args: pytest.fail('a process'))
    monkeypatch.setattr(carry_out, '__defaults__', (29500, lambda command, log, env: by_folder[log.parent](command, log, env)))
    found = [(str(outcome.run), outcome.status, outcome.message.split(': ')[0]) for outcome in carry_out_all(runs, Launch())]
    assert found == [
        ('leaf seed 0', 'failed', 'train.py'),
        ('missing seed 0', 'failed', f'Config {tmp_path / "missing.py"} does not exist. {HINT}'),
        ('leaf seed 1', 'done', ''),
        ('missing seed 1', 'failed', f'Config {tmp_path / "missing.py"} does not exist. {HINT}'),
    ]


@pytest.mark.parametrize(
    ('changes', 'error'),
    [
        (dict(recipe_sha256='other'), 'is of another config, seed or options'),
        (dict(seed=2), 'is of another config, seed or options'),
        (dict(iterations=3), 'the checkpoint is not the last: iteration 3 of 5'),
    ],
)
def test_results_of_something_else_are_neither_taken_nor_replaced(run, changes, error):
    write_metrics(run, **changes)
    before = run.metrics.read_text()
    outcome = carry_out(run, Launch(), call=Fake(run))
    assert outcome.status == 'failed' and error in outcome.message and run.metrics.read_text() == before


def test_a_folder_of_another_config_is_not_gone_on_with(run, path, tmp_path):
    assert carry_out(run, Launch(), call=Fake(run, fails=['train'])).status == 'failed'
    path.write_text(path.read_text().replace('iters=5', 'iters=6'))
    (again,) = make_runs([path], [1], tmp_path / 'out')
    fake = Fake(again)
    outcome = carry_out(again, Launch(), call=fake)
    assert outcome.status == 'failed' and 'holds a run of another config or other options' in outcome.message and not fake.seen
    (other_options,) = make_runs([path], [1], tmp_path / 'out', ['log_level=ERROR'])
    assert 'holds a run of another config or other options' in carry_out(other_options, Launch(), call=fake).message


def test_a_tool_that_leaves_nothing_is_a_failure(run):
    outcome = carry_out(run, Launch(), call=lambda *args: 0)
    assert outcome.status == 'failed' and 'left no' in outcome.message


def test_a_config_without_an_end_is_refused(tmp_path):
    (tmp_path / 'endless.py').write_text('train_cfg = dict(max_epochs=3)\n')
    (run,) = make_runs([tmp_path / 'endless.py'], [0], tmp_path)
    assert 'plans no number of iterations' in carry_out(run, Launch(), call=Fake(run)).message


def test_configs_that_would_share_a_folder_are_refused():
    with pytest.raises(ValueError, match='names of their own, got a/x.py and b/x.py'):
        make_runs(['a/x.py', 'b/x.py'], [0], 'out')


def test_slurm_gets_every_run_with_a_port_of_its_own(path, tmp_path, monkeypatch):
    runs, ports = make_runs([path], [0, 1, 2], tmp_path / 'out'), []
    fakes = {run.work_dir: Fake(run) for run in runs}
    commands = []

    def call(command, log, environment):
        commands.append(command)
        ports.append(environment['PORT'])
        return fakes[log.parent](command, log, environment)

    monkeypatch.setattr(carry_out, '__defaults__', (29500, call))
    outcomes = list(carry_out_all(runs, Launch(4, 'gpu')))
    assert [(outcome.run.seed, outcome.status) for outcome in outcomes] == [(0, 'done'), (1, 'done'), (2, 'done')]
    assert len(set(ports)) == 3 and len(commands) == 6
    trained = next(command for command in commands if '--resume' in command)
    assert trained[1].endswith('tools/slurm_train.sh') and trained[2:5] == ['gpu', str(path), '4']
    tested = next(command for command in commands if '--resume' not in command)
    assert tested[:3] == ['srun', '-p', 'gpu'] and '--out' in tested


def test_several_gpus_of_this_machine_train_by_the_launcher(run):
    train, test = run.commands(Launch(gpus=2))
    assert train[1].endswith('tools/dist_train.sh') and train[2:4] == [str(run.path), '2'] and test[1].endswith('tools/test.py')


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('a\nFileNotFoundError: x\n\n', 'FileNotFoundError: x'),
        ('torch.distributed.elastic.ChildFailedError: y\n====\n', 'torch.distributed.elastic.ChildFailedError: y'),
        ('Error: Expected proposals\n    python tools/x.py\n', 'Error: Expected proposals'),
        ('only this', 'only this'),
        ('', 'no output'),
    ],
)
def test_the_last_line_that_names_an_error_is_found(tmp_path, text, line):
    (tmp_path / 'log').write_text(text)
    assert last_error(tmp_path / 'log') == line and last_error(tmp_path / 'none') == 'no output'


def test_a_process_leaves_its_output_and_its_code(tmp_path):
    code = 'import os, sys; print(os.environ["PORT"]); sys.exit("Error: bad")'
    assert execute([sys.executable, '-c', code], tmp_path / 'sub/log', dict(PORT='77')) == 1
    assert (tmp_path / 'sub/log').read_text().splitlines()[1:] == ['77', 'Error: bad']
