"""Training and testing many configs over seeds: what is done is skipped, what was interrupted goes on, what fails is named.

A *run* is one config with one seed. It has the folder ``<out>/<config name>/seed<k>``.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mmengine.config import Config

from mmlabelpenet.apis.config import load_config, planned_iterations, recipe_hash
from mmlabelpenet.files import atomic_write, shipped
from mmlabelpenet.options import parse_options
from mmlabelpenet.workbench.experiments.collect import Result, read_result

TOOLS = shipped('tools')
_ERROR = re.compile(r'^\s*([A-Za-z_.]*(Error|Exception|Interrupt|Exit)|Error|srun: error)\b.*')


@dataclass(frozen=True)
class Launch:
    """Where runs are computed.

    Attributes:
        gpus: of a training; one process for each where there are several.
        partition: of Slurm; None runs here.
    """

    gpus: int = 1
    partition: str | None = None

    def train(self, config: str, arguments: Sequence[str]) -> list[str]:
        """The command that trains.

        >>> Launch().train('a.py', ['--resume'])[-2:], Launch(4, 'gpu').train('a.py', ['--resume'])[2:]
        (['a.py', '--resume'], ['gpu', 'a.py', '4', '--resume'])
        """
        if self.partition is not None:
            return ['bash', str(TOOLS / 'slurm_train.sh'), self.partition, config, str(self.gpus), *arguments]
        if self.gpus > 1:
            return ['bash', str(TOOLS / 'dist_train.sh'), config, str(self.gpus), *arguments]
        return [sys.executable, str(TOOLS / 'train.py'), config, *arguments]

    def test(self, config: str, arguments: Sequence[str]) -> list[str]:
        """The command that tests, in one process."""
        slurm = [] if self.partition is None else ['srun', '-p', self.partition, '--gres', 'gpu:1', '--job-name', 'labelpenet_test']
        return [*slurm, sys.executable, str(TOOLS / 'test.py'), config, *arguments]


@dataclass(frozen=True)
class Run:
    """One config with one seed.

    Attributes:
        path: of the config.
        seed: of the training.
        out: folder of all runs.
        options: ``KEY=VALUE`` words that override config keys, for every run alike.
    """

    path: Path
    seed: int
    out: Path
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.name} seed {self.seed}'

    @property
    def name(self) -> str:
        """Name of the config."""
        return self.path.stem

    @property
    def work_dir(self) -> Path:
        """Folder of the run."""
        return self.out / self.name / f'seed{self.seed}'

    @property
    def metrics(self) -> Path:
        """The file with its results."""
        return self.work_dir / 'metrics.json'

    @cached_property
    def config(self) -> Config:
        """The config with its options and seed."""
        return load_config(self.path, parse_options(self._overrides))

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint that the training will have.

        Raises:
            ValueError: the config does not say how long it trains.
        """
        planned = planned_iterations(self.config)
        if planned is None:
            raise ValueError(
                f'{self.path} plans no number of iterations (train_cfg.phases or train_cfg.max_iters), so that its end is unknown.'
            )
        return self.work_dir / f'iter_{planned}.pth'

    @property
    def _overrides(self) -> list[str]:
        return [*self.options, f'randomness.seed={self.seed}']

    def result(self) -> Result | None:
        """The results of the finished run; None if there are none yet.

        Raises:
            ValueError: the folder holds another run, or results of an unfinished training.
        """
        recipe = recipe_hash(self.config)
        marker = self.work_dir / 'run.json'
        if marker.is_file() and json.loads(marker.read_text())['recipe_sha256'] != recipe:
            raise ValueError(f'{self.work_dir} holds a run of another config or other options. Remove it, or choose another --out.')
        if not self.metrics.is_file():
            return None
        found = read_result(self.metrics.resolve())
        if (found.meta.get('recipe_sha256'), found.meta.get('seed')) != (recipe, self.seed):
            raise ValueError(f'{self.metrics} is of another config, seed or options. Remove it, or choose another --out.')
        if reason := found.unfit():
            raise ValueError(f'{self.metrics}: {reason}. Remove it, and it is tested again.')
        return found

    def commands(self, launch: Launch) -> list[list[str]]:
        """What is still to be done, in order: training unless its last checkpoint is there, then testing; nothing of a finished run."""
        if self.result() is not None:
            return []
        options = ['--cfg-options', *self._overrides]
        train = launch.train(str(self.path), ['--work-dir', str(self.work_dir), '--resume', *options])
        test_arguments = [str(self.checkpoint), '--corloc', '--out', str(self.metrics), '--work-dir', str(self.work_dir / 'test'), *options]
        return [*([] if self.checkpoint.is_file() else [train]), launch.test(str(self.path), test_arguments)]

    def mark(self) -> None:
        """Write down what the folder is for."""
        with atomic_write(self.work_dir / 'run.json') as file:
            file.write(json.dumps(dict(config=str(self.path), recipe_sha256=recipe_hash(self.config), seed=self.seed), indent=1) + '\n')


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``status`` and, of a failed one, which step failed, with the last line that tells an error."""

    run: Run
    status: Literal['done', 'skipped', 'failed']
    message: str = ''

    def __str__(self) -> str:
        return f'{self.run}: {self.status}' + (f', {self.message}' if self.message else '')


def make_runs(paths: Sequence[str | Path], seeds: Sequence[int], out: str | Path, options: Sequence[str] = ()) -> list[Run]:
    """All runs of configs and seeds; the first seed of every config comes first.

    Raises:
        ValueError: two different configs of one name, which would share a folder, or an option that is not ``KEY=VALUE``.

    >>> [str(run) for run in make_runs(['x/a.py', 'x/b.py', 'x/a.py'], [0, 1], 'out')]
    ['a seed 0', 'b seed 0', 'a seed 1', 'b seed 1']
    """
    parse_options(options)
    unique = list(dict.fromkeys(map(Path, paths)))
    for path in unique:
        twins = [str(other) for other in unique if other.stem == path.stem]
        if len(twins) > 1:
            raise ValueError(f'Configs need names of their own, got {" and ".join(twins)}.')
    return [Run(path, seed, Path(out), tuple(options)) for seed in dict.fromkeys(seeds) for path in unique]


def execute(command: Sequence[str], log: Path, environment: dict[str, str]) -> int:
    """Run a command with its output appended to a file; its return code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a', encoding='utf-8') as file:
        file.write(f'$ {shlex.join(command)}\n')
        file.flush()
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | environment, check=False).returncode


def carry_out(run: Run, launch: Launch, port: int = 29500, call: Callable[[Sequence[str], Path, dict[str, str]], int] = execute) -> Outcome:
    """Do what is left of a run; never raises for what is wrong with the run itself.

    Args:
        run: to be done.
        launch: where.
        port: for processes that talk to each other; runs beside each other need different ones.
        call: runs a command, see :func:`execute`.
    """
    log = run.work_dir / 'output.txt'
    try:
        commands = run.commands(launch)
        if not commands:
            return Outcome(run, 'skipped')
        run.mark()
        for command in commands:
            if call(command, log, dict(PORT=str(port))):
                return Outcome(run, 'failed', f'{_step(command)}: {last_error(log)} ({log})')
        return Outcome(run, 'done') if run.result() else Outcome(run, 'failed', f'test.py left no {run.metrics}')
    except (ValueError, OSError) as error:
        return Outcome(run, 'failed', str(error))


def carry_out_all(runs: Sequence[Run], launch: Launch) -> Iterator[Outcome]:
    """Here one run after another; with Slurm all at once, it queues them. Outcomes come in the order of the runs."""
    if launch.partition is None:
        yield from (carry_out(run, launch) for run in runs)
        return
    with ThreadPoolExecutor(max(1, len(runs))) as pool:
        yield from pool.map(lambda job: carry_out(job[1], launch, 29500 + job[0]), enumerate(runs))


def last_error(log: Path) -> str:
    """The last line of a log that names an error, or else its last line."""
    lines = [line.strip() for line in log.read_text(errors='replace').splitlines() if line.strip()] if log.is_file() else []
    return next((line for line in reversed(lines) if _ERROR.match(line)), lines[-1] if lines else 'no output')


def _step(command: Sequence[str]) -> str:
    return next(Path(word).name for word in command if Path(word).parent == TOOLS)
