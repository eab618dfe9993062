"""Training and test jobs, which know their folder, their status and the remaining commands."""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from mmengine.config import Config

from mmlabelpenet.apis.checkpoint import find_checkpoint
from mmlabelpenet.apis.config import default_work_dir, last_checkpoint, load_config, recipe_hash, stage_names
from mmlabelpenet.apis.config_check import check_config
from mmlabelpenet.apis.inputs import CORLOC_ON, TESTED_ON, check_inputs
from mmlabelpenet.apis.run_note import read_note
from mmlabelpenet.apis.test import choose_stages
from mmlabelpenet.apis.train import check_training, start_from
from mmlabelpenet.evaluation.dump import dump_path
from mmlabelpenet.files import require_file
from mmlabelpenet.workbench.experiments.collect import read_result
from mmlabelpenet.workbench.experiments.launch import Launch


@dataclass(frozen=True)
class Job:
    """A config to be trained or tested in its own folder.

    Methods raise ``ValueError`` or ``OSError`` if that is impossible.

    Attributes:
        path: path of the config.
        arguments: arguments of the tool, except those set by the job itself.
        overrides: config overrides contained in ``arguments``.
        folder: folder of the run; None for the config's own work dir.
    """

    path: Path
    arguments: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def config(self) -> Config:
        """The config with command-line overrides."""
        config = load_config(self.path, self.overrides)
        config.work_dir = str(self.folder or default_work_dir(config))
        return config

    @property
    def work_dir(self) -> Path:
        """Folder of the run, unique among the jobs of a call."""
        return self.folder or Path(self.config.work_dir)

    @property
    def log(self) -> Path:
        """The file that receives the output of the commands."""
        return self.work_dir / 'output.txt'

    @property
    def product(self) -> Path | None:
        """The output file that later jobs may need."""
        return None

    def commands(self, launch: Launch) -> list[list[str]]:
        """The remaining commands, in order."""
        raise NotImplementedError

    def check(self, promised: Collection[Path] = ()) -> None:
        """Check that everything the commands read exists; ``promised`` files will exist in time."""
        raise NotImplementedError

    def confirm(self) -> None:
        """Check that the commands have written their output."""
        raise NotImplementedError


@dataclass(frozen=True)
class TrainingJob(Job):
    """One config, trained by ``tools/train.py``, resuming from its last checkpoint."""

    @property
    def product(self) -> Path:
        """The last checkpoint of the training."""
        return last_checkpoint(self.config)

    def commands(self, launch: Launch) -> list[list[str]]:
        """The training command, unless the last checkpoint exists."""
        self._check_folder()
        if self.product.is_file():
            return []
        return [launch.command('train.py', [str(self.path)], ['--work-dir', str(self.work_dir), '--resume', *self.arguments])]

    def check(self, promised: Collection[Path] = (), resume: str | None = 'auto') -> None:
        """The checks of ``tools/train.py``, before it is started."""
        config = copy.deepcopy(self.config)
        start_from(config, resume)
        check_training(config, promised)

    def confirm(self) -> None:
        """Check that the last checkpoint exists."""
        if not self.product.is_file():
            raise ValueError(f'train.py did not write {self.product}.')

    def _check_folder(self) -> None:
        """Reject a work dir with a run of another config, other options or another seed."""
        if not any(self.work_dir.glob('*.pth')):
            return
        run, written_out = read_note(self.work_dir), [path.stem for path in self.work_dir.glob('*.py')]
        trained = run.config or (written_out[0] if written_out else self.path)
        if self.path.stem not in (Path(trained).stem, *written_out):
            raise ValueError(f'{self.work_dir} contains a run of another config, {trained}. Remove it, or choose another folder.')
        mine = (recipe_hash(self.config), (self.config.get('randomness') or {}).get('seed'))
        if run.config and (run.recipe_sha256, run.seed) != mine:
            raise ValueError(
                f'{self.work_dir} contains a run with other settings: the config, the options or the seed differ. '
                'Remove it, choose another folder, or continue it with\n'
                f'    python tools/train.py {quote(str(self.path))} --work-dir {quote(str(self.work_dir))} --resume'
            )


@dataclass(frozen=True)
class EvaluationJob(Job):
    """One config, tested by ``tools/test.py``.

    Attributes:
        given: the checkpoint; None for the last one of the run.
        stage, corloc, tta: as in ``arguments``.
        out: name of the results file in the folder.
        dump: name of the predictions file in the folder, if requested.
    """

    given: Path | None = None
    stage: str = 'all'
    corloc: bool = False
    tta: bool = False
    out: str = 'metrics.json'
    dump: str | None = None

    @property
    def log(self) -> Path:
        """The file that receives the output of the command."""
        return self.work_dir / 'test/output.txt'

    @cached_property
    def checkpoint(self) -> Path:
        """The tested checkpoint."""
        found = self.given or find_checkpoint(self.work_dir)
        if found is None:
            raise FileNotFoundError(
                f'{self.work_dir} contains no checkpoint. Train first:\n    bash tools/dist_train.sh {quote(str(self.path))} GPUS'
            )
        return found

    def commands(self, launch: Launch) -> list[list[str]]:
        """The test command, unless results of this checkpoint with the same options exist."""
        if self._is_done():
            return []
        options = ['--work-dir', str(self.log.parent), '--out', str(self.work_dir / self.out)]
        options += ['--dump', str(self.work_dir / self.dump)] if self.dump else []
        return [launch.command('test.py', [str(self.path), str(self.checkpoint)], [*options, *self.arguments])]

    def check(self, promised: Collection[Path] = ()) -> None:
        """The checks of ``tools/test.py``, before it is started."""
        check_config(self.config)
        check_inputs(self.config, TESTED_ON + (CORLOC_ON if self.corloc else ()), promised)
        if self.checkpoint.resolve() not in promised:
            require_file(self.checkpoint, f'Checkpoint {self.checkpoint} does not exist.')

    def confirm(self) -> None:
        """Check that the results exist."""
        if not self._is_done():
            raise ValueError(f'test.py did not write {self.work_dir / self.out}.')

    def _is_done(self) -> bool:
        path, config = self.work_dir / self.out, self.config
        if not path.is_file():
            return False
        meta = read_result(path).meta
        stages = choose_stages(self.stage, names) if (names := stage_names(config)) else meta.get('stages', [])
        corloc = self.corloc and config.get('corloc_dataloader') is not None
        wanted = (str(self.checkpoint), recipe_hash(config), stages, self.tta, corloc)
        dumps = [dump_path(self.work_dir / self.dump, stage, stages) for stage in stages] if self.dump else []
        found = (*(meta.get(key) for key in ('checkpoint', 'recipe_sha256', 'stages')), bool(meta.get('tta')), bool(meta.get('corloc')))
        return found == wanted and all(file.is_file() and _newer(file, self.checkpoint) for file in [path, *dumps])


def _newer(path: Path, other: Path) -> bool:
    return path.stat().st_mtime_ns >= other.stat().st_mtime_ns
