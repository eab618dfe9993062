"""Several jobs: all are checked before the first starts, finished ones are skipped, and a failure does not stop the others."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmlabelpenet.workbench.experiments import batch
from mmlabelpenet.workbench.experiments.batch import Outcome, agree, carry_out_all, dry_run, judge
from mmlabelpenet.workbench.experiments.launch import Launch


@dataclass(frozen=True)
class Stand:
    """A job that is done when its product is there."""

    name: str
    root: Path
    needs: str = ''
    folder: str = ''
    fault: Exception | None = None

    def __str__(self):
        return self.name

    @property
    def work_dir(self):
        return self.root / (self.folder or self.name)

    @property
    def log(self):
        return self.work_dir / 'output.txt'

    @property
    def product(self):
        return self.work_dir / 'last.pth'

    def commands(self, launch):
        return [] if self.product.is_file() else [launch.command('train.py', [self.name])]

    def check(self, promised=()):
        if self.fault:
            raise self.fault
        needed = self.root / self.needs / 'last.pth'
        if self.needs and not needed.is_file() and needed.resolve() not in promised:
            raise FileNotFoundError(f'{needed} is missing')

    def confirm(self):
        if not self.product.is_file():
            raise ValueError('it left nothing')


class Processes:
    """In place of processes: leave what a job leaves, and fail where told."""

    def __init__(self, root, fails=(), idle=()):
        self.root, self.fails, self.idle, self.commands = root, fails, idle, []

    def __call__(self, command, log):
        name = log.parent.name
        self.commands.append(command)
        log.parent.mkdir(exist_ok=True)
        if name in self.fails:
            log.write_text('Traceback\nValueError: broken\n')
            return 1
        if name not in self.idle:
            (log.parent / 'last.pth').write_text('')
        return 0

    @property
    def names(self):
        return [command[2] for command in self.commands]


@pytest.fixture
def processes(tmp_path, monkeypatch):
    processes = Processes(tmp_path)
    monkeypatch.setattr(batch, 'execute', processes)
    return processes


def ends(outcomes):
    return [(str(outcome.job), outcome.status) for outcome in outcomes]


def test_a_failure_and_a_lack_stop_none_of_the_others_and_a_second_call_does_what_is_missing(tmp_path, processes):
    jobs = [Stand('a', tmp_path), Stand('b', tmp_path, needs='data'), Stand('c', tmp_path), Stand('d', tmp_path)]
    processes.fails, begun = ['c'], []
    outcomes = list(carry_out_all(jobs, Launch(), begin=begun.append))
    assert ends(outcomes) == [('b', 'left out'), ('a', 'done'), ('c', 'failed'), ('d', 'done')]
    assert begun == [jobs[0], *jobs[2:]] and processes.names == ['a', 'c', 'd']
    assert outcomes[0].message == f'{tmp_path}/data/last.pth is missing'
    assert outcomes[2].message == f'train.py: ValueError: broken ({tmp_path}/c/output.txt)'
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/last.pth').write_text('')
    processes.fails, processes.commands = [], []
    assert ends(carry_out_all(jobs, Launch())) == [('a', 'skipped'), ('d', 'skipped'), ('b', 'done'), ('c', 'done')]
    assert processes.names == ['b', 'c']


def test_all_are_checked_before_the_first_starts(tmp_path, processes):
    outcomes = carry_out_all([Stand('a', tmp_path), Stand('b', tmp_path, fault=KeyError('no such key'))], Launch())
    assert str(next(outcomes)) == "b: left out, KeyError: 'no such key'" and not processes.commands


def test_a_job_that_leaves_nothing_has_failed(tmp_path, processes):
    processes.idle = ['a']
    (outcome,) = carry_out_all([Stand('a', tmp_path)], Launch())
    assert str(outcome) == f'a: failed, it left nothing ({tmp_path}/a/output.txt)'


def test_what_an_earlier_job_makes_is_not_missing_unless_it_fails(tmp_path, processes):
    jobs = [Stand('a', tmp_path), Stand('b', tmp_path, needs='a')]
    processes.fails = ['a']
    assert ends(carry_out_all(jobs, Launch())) == [('a', 'failed'), ('b', 'left out')]
    processes.fails = []
    assert ends(carry_out_all(jobs, Launch())) == [('a', 'done'), ('b', 'done')]
    assert [str(verdict) for verdict in judge([jobs[1], jobs[0]], Launch())] == ['b: skipped, done before', 'a: skipped, done before']


def test_slurm_starts_nothing_before_its_inputs_are_there(tmp_path, processes):
    jobs = [Stand('a', tmp_path), Stand('b', tmp_path, needs='a')]
    assert ends(carry_out_all(jobs, Launch(8, 'gpu'))) == [('b', 'left out'), ('a', 'done')]


def test_slurm_gets_all_at_once_with_a_port_for_each(tmp_path, processes):
    jobs = [Stand(name, tmp_path) for name in 'abc']
    assert ends(carry_out_all(jobs, Launch(8, 'gpu', port=100))) == [('a', 'done'), ('b', 'done'), ('c', 'done')]
    ports = {word.partition('PORT=')[2][:3] for command in processes.commands for word in command if 'PORT=' in word}
    assert ports == {'100', '101', '102'}


def test_jobs_of_one_folder_are_not_both_started(tmp_path, processes):
    jobs = [Stand('a', tmp_path), Stand('b', tmp_path, folder='a')]
    (lacking, done) = carry_out_all(jobs, Launch())
    assert str(lacking) == f'b: left out, its folder {tmp_path}/a is also used by a. Rename one, or set its work_dir.'
    assert done.status == 'done' and ends(carry_out_all(jobs, Launch())) == [('a', 'skipped'), ('b', 'left out')]


def test_without_checks_a_job_finds_out_itself(tmp_path, processes):
    assert ends(carry_out_all([Stand('a', tmp_path, needs='data')], Launch(), check=False)) == [('a', 'done')]


def test_a_dry_run_names_commands_and_reasons_and_starts_nothing(tmp_path, processes):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/last.pth').write_text('')
    two = ValueError('one\n    more\ntwo')
    jobs = [Stand('a', tmp_path), Stand('b', tmp_path, fault=two), Stand('c', tmp_path), Stand('d', tmp_path, fault=two)]
    first, *lacking, third, command, last = dry_run(jobs, Launch(8, 'gpu', port=100))
    assert first == '# a: skipped, done before' and lacking == ['# b: left out\n#     one\n#         more\n#     two']
    assert third == '# c' and command.startswith('srun -p gpu') and 'PORT=100' in command and last == '# d: left out, same as b'
    assert not processes.commands


def on_two_nodes(first, second):
    """Agreement of two nodes."""
    with ThreadPoolExecutor(2) as pool:
        port = 29700 + os.getpid() % 200
        return [future.result() for future in [pool.submit(agree, *found, port, node, 2) for node, found in enumerate((first, second))]]


def test_nodes_start_the_same_jobs(tmp_path):
    a, b, c, d, e = jobs = [Stand(name, tmp_path) for name in 'abcde']
    lacking, done = Outcome(b, 'left out', 'no data'), Outcome(c, 'skipped', 'done before')
    both = Outcome(e, 'left out', 'a typo')
    first, second = on_two_nodes(
        ([None, None, done, Outcome(d, 'skipped', 'done before'), both], jobs), ([None, lacking, done, None, both], jobs)
    )
    assert first == second and first[0] is None and first[2] == done and first[4] == both
    assert str(first[1]) == 'b: left out, node 1: no data'
    assert str(first[3]) == 'd: left out, finished only on node 0: all nodes must share a work dir.'
    assert agree([None], [a], 0, 0, 1) == [None]


def test_nodes_with_different_configs_are_told(tmp_path):
    with pytest.raises(ValueError, match='started with different configs'):
        on_two_nodes(([None], [Stand('a', tmp_path)]), ([None], [Stand('b', tmp_path)]))
