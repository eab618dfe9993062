"""Killed processes, full disks and dead ranks, with real processes."""

import atexit
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import toy
from mmengine.hooks import Hook
from training import PHASES, on_ranks, train

from mmlabelpenet.apis import train as train_from_config
from mmlabelpenet.apis.checkpoint import is_whole
from mmlabelpenet.datasets.label_writer import PseudoLabelWriter
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.engine.hooks.atomic_checkpoint import AtomicBackend
from mmlabelpenet.files import atomic_write
from mmlabelpenet.processes import end_children, keep_temporary_files
from mmlabelpenet.registry import HOOKS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10  # after which no process of a killed run may be alive
PLACES = [*toy.STAGES, 'recurrent', *(f'labels of {name}' for name in toy.STAGES[:3]), 'merge', 'checkpoint']


class Spy:
    """Shared with processes that train: where they are, how many steps they have made, and which of them made the last one."""

    def __init__(self):
        self.place, self.ticks, self.process = (multiprocessing.Value('i', 0, lock=False) for _ in range(3))

    def enter(self, place):
        self.place.value, self.process.value = PLACES.index(place), os.getpid()
        self.ticks.value += 1

    def install(self):
        """In the process that trains: report every iteration, labelled image and merge, and the middle of every checkpoint's writing."""
        spy, add, finish, parts = self, PseudoLabelWriter.add, PseudoLabelWriter.finish, PseudoLabelWriter._parts

        @HOOKS.register_module(name='Report', force=True)
        class Report(Hook):
            def before_label_pass(self, runner, stage):
                spy.enter(f'labels of {stage}')

            def before_phase(self, runner, phase):
                self.phase = phase.name
                spy.enter(phase.name)

            def before_train_iter(self, runner, batch_idx, **kwargs):
                spy.enter(self.phase)

        def slow_put(self, obj, filepath):
            before = PLACES[spy.place.value]
            with atomic_write(filepath, 'wb') as file:
                file.write(obj[: len(obj) // 2])
                file.flush()
                spy.enter('checkpoint')
                time.sleep(0.02)
                file.write(obj[len(obj) // 2 :])
            spy.enter(before)

        def slow_add(self, *args, **kwargs):
            add(self, *args, **kwargs)
            spy.ticks.value += 1
            time.sleep(0.005)

        def slow_finish(self, *args):
            before = PLACES[spy.place.value]
            spy.enter('merge')
            store = finish(self, *args)
            spy.enter(before)
            return store

        def slow_parts(self):  # before lines are read, and between the store and the removal of its parts
            time.sleep(0.01)
            return parts(self)

        AtomicBackend.put, PseudoLabelWriter.add = slow_put, slow_add
        PseudoLabelWriter.finish, PseudoLabelWriter._parts = slow_finish, slow_parts


def state(runner):
    """Everything that must be bit-identical: weights, momentum, stores."""
    stores = {path.name: path.read_bytes() for path in Path(runner.work_dir, 'pseudo_labels').glob('*.json')}
    momentum = [value['momentum_buffer'].clone() for value in runner.optim_wrapper.optimizer.state.values()]
    return toy.weights(getattr(runner.model, 'module', runner.model)), momentum, stores


@dataclass(frozen=True)
class Trial:
    """What is trained, and how it is killed."""

    root: Path
    ranks: int = 1
    workers: int = 0
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)

    def start(self, work_dir, spy):
        """In a process of its own, which leads a session: train, or go on with it."""
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has commands in the background ignore it
        end_children()
        keep_temporary_files()

        def run(rank=0):
            spy.install()
            config = toy.run_config(self.root, work_dir, PHASES, hooks=[dict(type='Report')], workers=self.workers)
            if self.ranks > 1:
                config.launcher = 'pytorch'
                config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
            torch.manual_seed(0)
            runner = train_from_config(config, resume='auto')
            if rank == 0:
                torch.save(state(runner), f'{work_dir}/end.pth')

        if self.ranks == 1:
            run()
        elif on_ranks(self.ranks, run, work_dir, timeout=3600)[1] != [0] * self.ranks:
            os._exit(1)
        atexit._run_exitfuncs()  # as commands do, and processes of multiprocessing do not

    def resume_until(self, work_dir, ticks, delay=0.0, rng=random):
        """Kill a process of the run ``delay`` seconds after so many steps; the place, or None if it came to the end."""
        spy = Spy()
        process = multiprocessing.get_context('fork').Process(target=self.start, args=(work_dir, spy))
        process.start()
        while process.is_alive() and spy.ticks.value < ticks:
            time.sleep(0.001)
        time.sleep(delay)
        if process.is_alive():
            victim = rng.choice([process.pid, spy.process.value or process.pid])
            number = rng.choice(self.signals) if self.ranks == 1 or victim != process.pid else signal.SIGKILL  # ranks end with their parent
            with suppress(ProcessLookupError):
                os.kill(victim, number)
            assert gone(process, SECONDS) == [], f'processes of a killed run are alive after {SECONDS} seconds'
        process.join()
        assert process.exitcode in (0, 1, *(-number for number in signal.Signals))
        return PLACES[spy.place.value] if process.exitcode else None

    def kill_again_and_again(self, work_dir, kills, seed, least_ends=1):
        """Kill and resume at random moments, from the start again after each end; returns where it was killed, and compares each end."""
        shared, tempfile.tempdir = set(os.listdir('/dev/shm')), tempfile.mkdtemp(prefix='k')  # short, for sockets
        hit = self._kill_again_and_again(work_dir, kills, seed, least_ends)
        left, tempfile.tempdir = os.listdir(tempfile.tempdir), None
        segments = [name for name in set(os.listdir('/dev/shm')) - shared if name.startswith('torch_')]
        assert left == [] and len(segments) <= 1 + kills // 50, segments  # PyTorch names a segment for an instant: a kill may fall into it
        return hit

    def _kill_again_and_again(self, work_dir, kills, seed, least_ends):
        assert self.resume_until(work_dir / 'whole', 10**9) is None
        expected = torch.load(work_dir / 'whole/end.pth')
        rng, hit, ends, place = random.Random(seed), Counter(), 0, None
        while sum(hit.values()) < kills or ends < least_ends or place is not None:  # the last run comes to its end
            folder = work_dir / f'run_{ends}'
            ticks = rng.randint(1, 30) if sum(hit.values()) < kills else 10**9
            place = self.resume_until(folder, ticks, rng.uniform(0, 0.03), rng)
            assert all(is_whole(path) for path in folder.glob('iter_*.pth'))
            if place is not None:
                hit[place] += 1
                continue
            weights, momentum, stores = torch.load(folder / 'end.pth')
            assert toy.different(weights, expected[0]) == [] and stores == expected[2]
            assert all(torch.equal(a, b) for a, b in zip(momentum, expected[1], strict=True))
            places = (*folder.rglob('*'), *work_dir.glob(f'.{folder.name}.*'))
            assert [path for path in places if '.part' in path.name or path.name.endswith('.lock')] == []
            ends += 1
        return hit


def gone(process, seconds):
    """Wait until all processes of the session that a process leads have ended; those that have not after so many seconds.

    Time in which one of them could have run, but got no processor of a busy machine, does not count.
    """
    end, waited = time.monotonic() + seconds, {}
    while left := alive(process.pid):
        process.join(0)  # else it stays as one that has ended
        if time.monotonic() > end:
            return [f'{number}: {kernel(number, "stat")} waits in {kernel(number, "wchan")}' for number in left]
        time.sleep(0.05)
        now = {task: int(text.split()[1]) for number in left for task, text in tasks(number).items()}
        end += max((value - waited.get(task, value) for task, value in now.items()), default=0) / 1e9
        waited = now
    return []


def kernel(number, name):
    """What the kernel tells of a process; nothing where it has ended."""
    with suppress(OSError):
        return Path(f'/proc/{number}/{name}').read_text().strip()
    return ''


def tasks(number):
    """Of each thread of a process: nanoseconds on a processor and waiting for one, and how often it ran."""
    texts = {path.name: kernel(number, f'task/{path.name}/schedstat') for path in Path(f'/proc/{number}/task').glob('*')}
    return {name: text for name, text in texts.items() if text}


def test_a_process_that_stays_is_told_and_one_that_waits_for_a_processor_has_more_time():
    process = multiprocessing.get_context('fork').Process(target=lambda: (os.setsid(), time.sleep(60)))
    process.start()
    while not alive(process.pid):
        time.sleep(0.01)
    (told,) = gone(process, 0.3)
    assert told.startswith(f'{process.pid}: ') and re.search(r'waits in \w+', told)  # where depends on the version of Python
    process.kill()
    assert gone(process, 10) == []


def alive(session):
    """Numbers of the running processes of a session."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):
            state, _, _, its_session = path.read_text().rpartition(')')[2].split()[:4]
            found += [int(path.parent.name)] if int(its_session) == session and state != 'Z' else []
    return found


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(toy_root, tmp_path):
    hit = Trial(toy_root).kill_again_and_again(tmp_path, kills=3, seed=1)
    assert sum(hit.values()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(('kills', 'ranks', 'workers'), [(50, 1, 0), (20, 1, 2), (15, 2, 0), (15, 2, 2)])
def test_a_run_killed_in_every_place_by_any_signal_ends_with_the_same_bits(toy_root, tmp_path, kills, ranks, workers):
    root = toy.with_mixed_sizes(toy_root, tmp_path / 'data')
    trial = Trial(root, ranks, workers, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    hit = trial.kill_again_and_again(tmp_path / 'runs', kills, seed=0, least_ends=5 if kills == 50 else 1)
    (tmp_path / 'kills.txt').write_text(f'{dict(hit)}\n')
    assert kills < 50 or set(hit) == set(PLACES), hit


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes, and how to fill it."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(folder)], capture_output=True).returncode:
        pytest.skip('mounting a file system is not permitted here')

    def fill():
        with (folder / 'ballast').open('wb', buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1000))

    yield folder, fill
    subprocess.run(['umount', '-l', str(folder)], check=True)


@HOOKS.register_module(force=True)
class FillDisk(Hook):
    """Fill the disk before an iteration, or before the labels of a stage."""

    def __init__(self, fill, when):
        self.fill, self.when = fill, when

    def before_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == self.when:
            self.fill()

    def before_label_pass(self, runner, stage):
        if stage == self.when:
            self.fill()


@pytest.mark.parametrize(
    ('when', 'message'),
    [(3, 'checkpoint after iteration 4'), pytest.param('detection', 'labels of detection', marks=pytest.mark.slow)],
)
def test_on_a_full_disk_training_says_so_and_goes_on_after_space_is_made(toy_root, tmp_path, small_disk, when, message):
    folder, fill = small_disk
    phases = [('classification', 3), ('detection', 3), ('refinement', 2)]
    runner = toy.build_runner(toy.run_config(toy_root, folder, phases))
    runner.register_hook(FillDisk(fill, when))
    with pytest.raises(
        OSError, match=f'{message} cannot be written to .*No space left on device.*free some space, then continue with --resume'
    ):
        runner.train()
    checkpoints = [path.name for path in sorted(folder.glob('*.pth'))]
    assert checkpoints == (['iter_3.pth'] if when == 3 else ['iter_4.pth', 'iter_6.pth'])
    assert all(is_whole(path) for path in folder.glob('*.pth')) and not list(folder.glob('.*partial'))
    (folder / 'ballast').unlink()
    torch.manual_seed(0)
    resumed = train_from_config(toy.run_config(toy_root, folder, phases), resume='auto')
    assert toy.different(toy.weights(resumed.model), toy.weights(train(toy_root, tmp_path / 'whole', phases=phases).model)) == []


def test_going_on_after_200000_iterations_takes_seconds_and_reads_no_data_again(toy_root, tmp_path, monkeypatch):
    phases = [('classification', 250_000)]
    config = toy.run_config(toy_root, tmp_path, [('classification', 2)])
    toy.build_runner(config).train()
    content = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    content['meta']['iter'] = 200_000
    for buffer in content['message_hub']['log_scalars'].values():
        buffer._log_history, buffer._count_history = (values.repeat(100_000) for values in buffer.data)
    torch.save(content, tmp_path / 'iter_200000.pth')

    @HOOKS.register_module(name='StopSoon', force=True)
    class StopSoon(Hook):
        def after_train_iter(self, runner, **kwargs):
            runner.train_loop.stop_training = True

    read, get = [], VOCTags.__getitem__
    monkeypatch.setattr(VOCTags, '__getitem__', lambda self, key: read.append(key) or get(self, key))
    start = time.process_time()  # of this process alone: other work on the machine does not count
    resumed = toy.run_config(toy_root, tmp_path / 'resumed', phases, hooks=[dict(type='StopSoon')])
    runner = train_from_config(resumed, resume=f'{tmp_path}/iter_200000.pth')
    assert time.process_time() - start < 10 and runner.iter == 250_000 and len(read) == 2  # the stop ends the phase


def launch(toy_root, folder, gpus, hooks, **environment):
    """Training by the launcher's script; standard error goes to ``<folder>/<NODE_RANK>.txt``."""
    folder.mkdir(exist_ok=True)
    config = toy.run_config(toy_root, folder / 'run', [('classification', 2), ('detection', 20)], hooks=hooks)
    config.custom_imports = dict(imports=['toy', 'training'], allow_failed_imports=False)
    config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
    config.dump(folder / 'config.py')
    paths = os.pathsep.join([str(ROOT / 'tests'), str(ROOT / 'tests/test_engine')])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    with (folder / f'{environment.get("NODE_RANK", 0)}.txt').open('w') as log:
        return subprocess.Popen(
            ['bash', str(ROOT / 'tools/dist_train.sh'), str(folder / 'config.py'), str(gpus)],
            env={**os.environ, 'PYTHONPATH': paths, 'PATH': path, **environment},
            stderr=log,
            stdout=log,
        )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')
@pytest.mark.parametrize('nodes', [1, 2])
def test_when_a_rank_is_killed_the_launchers_of_all_nodes_end_with_an_error(toy_root, tmp_path, nodes):
    hooks = [dict(type='KillAt', iteration=4, rank=1)]
    nets = [dict(NNODES=str(nodes), NODE_RANK=str(rank), PORT='29611') for rank in range(nodes)]
    launchers = [launch(toy_root, tmp_path, 2 // nodes, hooks, **net) for net in nets]
    ends = []
    for launcher in launchers:
        assert launcher.wait(580) != 0
        ends.append(time.monotonic())
    assert max(ends) - min(ends) < 60
    assert 'SIGKILL' in ''.join(path.read_text() for path in tmp_path.glob('*.txt'))
    left = subprocess.run(['pgrep', '-f', str(tmp_path / 'config.py')], capture_output=True, text=True).stdout
    assert left.strip() == ''
