"""Training and testing many configs over seeds: what is done is skipped, what was interrupted goes on, what fails is named.

A *run* is one config with one seed. It has the folder ``<out>/<config name>/seed<k>``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmlabelpenet.apis.config import recipe_hash
from mmlabelpenet.options import parse_options
from mmlabelpenet.workbench.experiments.collect import Result, read_result
from mmlabelpenet.workbench.experiments.jobs import EvaluationJob, TrainingJob
from mmlabelpenet.workbench.experiments.launch import Launch


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

    @property
    def log(self) -> Path:
        """Output of its commands."""
        return self.work_dir / 'output.txt'

    @property
    def product(self) -> Path:
        """The last checkpoint that the training will have."""
        return self.training.product

    @cached_property
    def training(self) -> TrainingJob:
        """Its first half."""
        return TrainingJob(self.path, ('--cfg-options', *self._words), parse_options(self._words), self.work_dir)

    @cached_property
    def testing(self) -> EvaluationJob:
        """Its second half."""
        first = self.training
        return EvaluationJob(self.path, ('--corloc', *first.arguments), first.overrides, self.work_dir, given=self.product, corloc=True)

    @property
    def config(self) -> Config:
        """The config with its options and seed."""
        return self.training.config

    @property
    def _words(self) -> list[str]:
        return [*self.options, f'randomness.seed={self.seed}']

    def result(self) -> Result | None:
        """The results of the finished run; None if there are none yet.

        Raises:
            ValueError: the results are of another run, or of an unfinished training.
        """
        if not self.metrics.is_file():
            return None
        found = read_result(self.metrics.resolve())
        if (found.meta.get('recipe_sha256'), found.meta.get('seed')) != (recipe_hash(self.config), self.seed):
            raise ValueError(f'{self.metrics} is of another config, seed or options. Remove it, or choose another --out.')
        if reason := found.unfit():
            raise ValueError(f'{self.metrics}: {reason}. Remove it, and it is tested again.')
        return found

    def commands(self, launch: Launch) -> list[list[str]]:
        """What is still to be done, in order: training unless its last checkpoint is there, then testing; nothing of a finished run."""
        if self.result() is not None:
            return []
        return [*self.training.commands(launch), *self.testing.commands(replace(launch, gpus=1))]

    def check(self, promised: Collection[Path] = ()) -> None:
        """Look for all that training, unless it is done, and testing read."""
        if not self.product.is_file():
            self.training.check(promised)
        self.testing.check({*promised, self.product.resolve()})

    def confirm(self) -> None:
        """The results must be there."""
        if self.result() is None:
            raise ValueError(f'test.py left no {self.metrics}.')


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
