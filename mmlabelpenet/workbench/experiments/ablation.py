"""Train and test several configs with several seeds: finished runs are skipped, interrupted ones are resumed, failures are reported.

A *run* is one config with one seed, in the folder ``<out>/<config name>/seed<k>``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mmlabelpenet.apis.config import recipe_hash
from mmlabelpenet.options import parse_options
from mmlabelpenet.workbench.experiments.collect import Result, read_result
from mmlabelpenet.workbench.experiments.jobs import EvaluationJob, Job, TrainingJob
from mmlabelpenet.workbench.experiments.launch import Launch


@dataclass(frozen=True)
class Run(Job):
    """One config with one seed: trained, then tested with its last checkpoint."""

    seed: int = 0

    def __str__(self) -> str:
        return f'{self.path.stem} seed {self.seed}'

    @property
    def metrics(self) -> Path:
        """The results file."""
        return self.work_dir / 'metrics.json'

    @property
    def product(self) -> Path:
        """The last checkpoint of the training."""
        return self.training.product

    @cached_property
    def training(self) -> TrainingJob:
        """The training job."""
        return TrainingJob(self.path, self.arguments, self.overrides, self.folder)

    @cached_property
    def testing(self) -> EvaluationJob:
        """The test job."""
        arguments = ('--corloc', *self.arguments)
        return EvaluationJob(self.path, arguments, self.overrides, self.folder, given=self.product, corloc=True)

    def result(self) -> Result | None:
        """The results of the finished run; None if there are none yet.

        Raises:
            ValueError: the results belong to another run, or to an unfinished training.
        """
        if not self.metrics.is_file():
            return None
        found = read_result(self.metrics.resolve())
        if (found.meta.get('recipe_sha256'), found.meta.get('seed')) != (recipe_hash(self.training.config), self.seed):
            raise ValueError(f'{self.metrics} belongs to another config, seed or options. Remove it, or choose another --out.')
        if reason := found.unfit():
            raise ValueError(f'{self.metrics}: {reason}. Remove it to test again.')
        return found

    def commands(self, launch: Launch) -> list[list[str]]:
        """Commands for training, unless the last checkpoint exists, then testing; none for a finished run."""
        if self.result() is not None:
            return []
        return [*self.training.commands(launch), *self.testing.commands(replace(launch, gpus=1))]

    def check(self, promised: Collection[Path] = ()) -> None:
        """The checks of the tools; those of training only if it is not finished."""
        if not self.product.is_file():
            self.training.check(promised)
        self.testing.check({*promised, self.product.resolve()})

    def confirm(self) -> None:
        """Check that the results exist."""
        if self.result() is None:
            raise ValueError(f'test.py did not write {self.metrics}.')


def distinct_configs(paths: Iterable[str | Path]) -> list[Path]:
    """Each config once.

    Raises:
        ValueError: two different configs with the same name, by which results and folders are named.

    >>> [str(path) for path in distinct_configs(['x/a.py', 'x/b.py', 'x/a.py'])]
    ['x/a.py', 'x/b.py']
    """
    unique = list(dict.fromkeys(map(Path, paths)))
    for path in unique:
        twins = [str(other) for other in unique if other.stem == path.stem]
        if len(twins) > 1:
            raise ValueError(f'Config names must be unique, got {" and ".join(twins)}.')
    return unique


def make_runs(paths: Sequence[str | Path], seeds: Sequence[int], out: str | Path, options: Sequence[str] = ()) -> list[Run]:
    """All runs of configs and seeds; the first seed of every config comes first.

    Args:
        out: folder of all runs.
        options: ``KEY=VALUE`` words that override config keys of every run.

    Raises:
        ValueError: two different configs with the same name, which would share a folder, or an option that is not ``KEY=VALUE``.

    >>> [str(run) for run in make_runs(['x/a.py', 'x/b.py', 'x/a.py'], [0, 1], 'out')]
    ['a seed 0', 'b seed 0', 'a seed 1', 'b seed 1']
    """
    unique = distinct_configs(paths)
    runs = []
    for seed in dict.fromkeys(seeds):
        words = [*options, f'randomness.seed={seed}']
        overrides = parse_options(words)
        runs += [Run(path, ('--cfg-options', *words), overrides, Path(out, path.stem, f'seed{seed}'), seed) for path in unique]
    return runs
