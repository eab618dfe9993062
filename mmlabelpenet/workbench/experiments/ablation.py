"""Training and testing many configs over seeds: finished runs are skipped, interrupted ones continue, failures are reported.

A *run* is one config with one seed. It has the folder ``<out>/<config name>/seed<k>``.
"""

from collections.abc import Collection, Sequence
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
        """The file with its results."""
        return self.work_dir / 'metrics.json'

    @property
    def product(self) -> Path:
        """The last checkpoint that the training will have."""
        return self.training.product

    @cached_property
    def training(self) -> TrainingJob:
        """The first half."""
        return TrainingJob(self.path, self.arguments, self.overrides, self.folder)

    @cached_property
    def testing(self) -> EvaluationJob:
        """The second half."""
        arguments = ('--corloc', *self.arguments)
        return EvaluationJob(self.path, arguments, self.overrides, self.folder, given=self.product, corloc=True)

    def result(self) -> Result | None:
        """The results of the finished run; None if there are none yet.

        Raises:
            ValueError: the results are of another run, or of an unfinished training.
        """
        if not self.metrics.is_file():
            return None
        found = read_result(self.metrics.resolve())
        if (found.meta.get('recipe_sha256'), found.meta.get('seed')) != (recipe_hash(self.training.config), self.seed):
            raise ValueError(f'{self.metrics} is of another config, seed or options. Remove it, or choose another --out.')
        if reason := found.unfit():
            raise ValueError(f'{self.metrics}: {reason}. Remove it, and it is tested again.')
        return found

    def commands(self, launch: Launch) -> list[list[str]]:
        """Training unless its last checkpoint is there, then testing; nothing of a finished run."""
        if self.result() is not None:
            return []
        return [*self.training.commands(launch), *self.testing.commands(replace(launch, gpus=1))]

    def check(self, promised: Collection[Path] = ()) -> None:
        """As the tools check; training only where it is not done."""
        if not self.product.is_file():
            self.training.check(promised)
        self.testing.check({*promised, self.product.resolve()})

    def confirm(self) -> None:
        """The results must be there."""
        if self.result() is None:
            raise ValueError(f'test.py left no {self.metrics}.')


def make_runs(paths: Sequence[str | Path], seeds: Sequence[int], out: str | Path, options: Sequence[str] = ()) -> list[Run]:
    """All runs of configs and seeds; the first seed of every config comes first.

    Args:
        out: folder of all runs.
        options: ``KEY=VALUE`` words that override config keys of every run.

    Raises:
        ValueError: two different configs of one name, which would share a folder, or an option that is not ``KEY=VALUE``.

    >>> [str(run) for run in make_runs(['x/a.py', 'x/b.py', 'x/a.py'], [0, 1], 'out')]
    ['a seed 0', 'b seed 0', 'a seed 1', 'b seed 1']
    """
    unique = list(dict.fromkeys(map(Path, paths)))
    for path in unique:
        twins = [str(other) for other in unique if other.stem == path.stem]
        if len(twins) > 1:
            raise ValueError(f'Configs need names of their own, got {" and ".join(twins)}.')
    runs = []
    for seed in dict.fromkeys(seeds):
        words = [*options, f'randomness.seed={seed}']
        overrides = parse_options(words)
        runs += [Run(path, ('--cfg-options', *words), overrides, Path(out, path.stem, f'seed{seed}'), seed) for path in unique]
    return runs
