"""The whole method on a small data set made on the spot: render, propose, train, test, report.

    python -m mmlabelpenet.quickstart [--work-dir work_dirs/quickstart] [--seed 0] [--data data/rendered] [--quick-check]

A step that is done with the same settings is skipped, and an interrupted training goes on, when the same command is given again.
"""

import argparse
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlabelpenet.files import atomic_write

if TYPE_CHECKING:
    from mmlabelpenet.datasets.selective_search import SelectiveSearchSettings

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before torch: spinning threads slow the data loader's workers down

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/labelpenet/labelpenet_lite0_rendered.py'
DATA = 'data/rendered'
SPLITS = ('train', 'test')
CHECK_ITERS = dict(classification=3, detection=2, refinement=2, segmentation=2, recurrent=1)
CHECK_IMAGES = dict(num_train=4, num_test=2)
SHOWN = ('Iter(train)', 'Iter(test)', 'Phase ', 'pseudo instances', 'recall of', 'images, proposals', 'WARNING', 'Resumed', 'Error')
SILENT = ('Failed to search registry', 'FileClient', 'HardDiskBackend', 'prefix is not set', 'FutureWarning', 'UserWarning')


def say(text: str) -> None:
    """Write a line to the terminal at once."""
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        work_dir: where results go.
        seed: of training.
        data: where the data set is, or is to be.
        check: a few images and iterations only, to see that everything works.
    """

    work_dir: Path
    seed: int
    data: Path
    check: bool

    @property
    def images(self) -> dict[str, int]:
        """Settings of the renderer that differ from its defaults."""
        return CHECK_IMAGES if self.check else {}

    def proposals(self, split: str) -> Path:
        """The proposal file of a split."""
        return self.data.parent / 'proposals' / f'{self.data.name}_{split}.npz'

    @property
    def data_options(self) -> dict[str, Any]:
        """Config keys that lead to the data, where it is not at the config's own place."""
        if self.data == Path(DATA):
            return {}
        options: dict[str, Any] = {}
        for loader, split in (('train', 'train'), ('label', 'train'), ('test', 'test'), ('corloc', 'train')):
            options[f'{loader}_dataloader.dataset.data_root'] = str(self.data)
            options[f'{loader}_dataloader.dataset.proposals'] = str(self.proposals(split))
        return options | {f'{name}_evaluator.data_root': str(self.data) for name in ('test', 'corloc')}

    @property
    def train_options(self) -> dict[str, Any]:
        """Config keys of training."""
        options = {'randomness.seed': self.seed, 'default_hooks.checkpoint.interval': 100}
        if self.check:
            options['train_cfg.phases'] = [dict(name=name, iters=iters) for name, iters in CHECK_ITERS.items()]
            options |= {f'{name}_dataloader.num_workers': 0 for name in ('train', 'label')}
            options |= {'default_hooks.logger.interval': 1, 'train_dataloader.batch_size': 2}
        return options | self.data_options


class Steps:
    """Runs steps and remembers, in ``<work dir>/quickstart.json``, which are done with which settings.

    Args:
        work_dir: made if missing.
        total: number of steps.
    """

    def __init__(self, work_dir: Path, total: int) -> None:
        self.path, self.total, self.number = work_dir / 'quickstart.json', total, 0
        self.logs = work_dir / 'steps'
        self.logs.mkdir(parents=True, exist_ok=True)
        self.done: dict[str, dict[str, Any]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def run(self, name: str, settings: Any, outputs: list[Path], action: list[str] | Callable[[], None], command: str = '') -> None:
        """Do a step, unless it was done with these settings and its outputs are there.

        Args:
            name: of the step.
            settings: all it depends on, storable as JSON.
            outputs: files or folders that it leaves.
            action: a command, or a function that does what ``command`` would.
            command: shown for a function.
        """
        self.number += 1
        mark = fingerprint(settings)
        known = self.done.get(name, {})
        title = f'[{self.number}/{self.total}] {name}'
        if known.get('settings') == mark and known.get('seconds') is not None and all(path.exists() for path in outputs):
            say(f'{title}: done before, in {clock(known["seconds"])}')
            return
        command = command or shlex.join(['python', *action[1:]])  # type: ignore[index]
        say(f'{title}: {command}')
        start, spent = time.monotonic(), known.get('spent', 0.0) if known.get('settings') == mark else 0.0
        record = dict(settings=mark, command=command, seconds=None, spent=spent)
        self._remember(name, record)
        try:
            action() if callable(action) else run_command(action, self.logs / f'{name.replace(" ", "_")}.log')
        finally:
            record['spent'] = spent + time.monotonic() - start
            self._remember(name, record)
        self._remember(name, dict(record, seconds=record['spent']))
        say(f'{title}: done in {clock(record["spent"])}')

    def _remember(self, name: str, record: dict[str, Any]) -> None:
        self.done[name] = record
        with atomic_write(self.path) as file:
            file.write(json.dumps(self.done, indent=1) + '\n')


def fingerprint(settings: Any) -> str:
    """Short hash of anything that can be stored as JSON.

    >>> fingerprint({'a': 1}) == fingerprint({'a': 1}) != fingerprint({'a': 2})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.2), clock(4.26)
    ('1 min 15 s', '4.3 s')
    """
    return f'{int(seconds) // 60} min {int(seconds) % 60} s' if seconds >= 60 else f'{seconds:.1f} s'


def run_command(command: list[str], log: Path) -> None:
    """Run a command; all that it writes goes to ``log``, what matters to the terminal too.

    Raises:
        RuntimeError: it fails; with the last lines.
    """
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])), PYTHONUNBUFFERED='1')
    last: list[str] = []
    with log.open('a') as file, child(command, env) as process:
        for line in process.stdout:  # type: ignore[union-attr]
            file.write(line)
            last = [*last[-29:], line]
            if any(word in line for word in SHOWN) and not any(word in line for word in SILENT):
                say('    ' + line.split(' - mmengine - ')[-1].strip()[:150])
    if process.returncode:
        raise RuntimeError(f'Failed with exit status {process.returncode}; the whole output is in {log}. Its end:\n{"".join(last)}')


@contextmanager
def child(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A process that does not outlive this one."""
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', bufsize=1
    ) as process:
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()


def words(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line.

    >>> words({'a.b': 1, 'c': 'x'})
    ['--cfg-options', 'a.b=1', 'c=x']
    """
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())] if options else []


def file_mark(path: Path) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tool(name: str) -> list[str]:
    """The beginning of a command that runs a script of ``tools``."""
    path = ROOT / 'tools' / name
    return [sys.executable, os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)]


def side_by_side(command: list[str]) -> list[str]:
    """The same in as many processes as there are GPUs, or in two on a CPU."""
    ranks = 'gpu' if Path('/dev/nvidiactl').exists() else '2'
    return [command[0], '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', ranks, *command[1:]]


def quickstart(plan: Plan) -> dict[str, Any]:
    """Do everything that is not done yet.

    Returns:
        the content of ``metrics.json``.

    Raises:
        ValueError: the work dir holds a training with other settings.
        RuntimeError: a step failed.
    """
    from mmlabelpenet.apis.config import config_hash, load_config
    from mmlabelpenet.datasets.rendered import RenderSettings, render_dataset
    from mmlabelpenet.datasets.selective_search import SelectiveSearchSettings

    work, config_path = plan.work_dir, ROOT / CONFIG
    shown_config = os.path.relpath(config_path) if config_path.is_relative_to(Path.cwd()) else str(config_path)
    config = load_config(config_path, plan.train_options)
    checkpoint = work / f'iter_{sum(phase["iters"] for phase in config.train_cfg.phases)}.pth'
    steps = Steps(work, 4 + len(SPLITS))

    render = RenderSettings(**plan.images)
    flags = [word for key, value in plan.images.items() for word in (f'--{key.removeprefix("num_")}', str(value))]
    command = shlex.join(['python', *tool('dataset_converters/render_voc.py')[1:], str(plan.data), *flags])
    steps.run('render', asdict(render), [plan.data], lambda: render_dataset(plan.data, render), command)
    render_dataset(plan.data, render)  # says so where it has become another data set
    search = SelectiveSearchSettings(min_size=28)  # no figure is smaller
    for split in SPLITS:
        images = [file_mark(path) for path in sorted((plan.data / 'JPEGImages').glob(f'{split}_*'))]
        more = ['--overwrite'] if is_stale(plan, split, search) else []
        action = [*tool('dataset_converters/selective_search.py'), str(plan.data), split, str(plan.proposals(split))]
        action += ['--min-size', str(search.min_size), '--workers', '2']
        steps.run(f'proposals {split}', [images, asdict(search)], [plan.proposals(split)], [*action, *more])

    training = [config_hash(config), *(file_mark(plan.proposals(split)) for split in SPLITS[:1])]
    check_unchanged(steps, 'train', training, work)
    action = [*tool('train.py'), shown_config, '--work-dir', str(work), '--resume', *words(plan.train_options)]
    steps.run('train', training, [checkpoint], action)
    collect_log(work)

    metrics = work / 'metrics.json'
    action = [*side_by_side(tool('test.py')), shown_config, str(checkpoint), '--corloc', '--out', str(metrics)]
    action += ['--launcher', 'pytorch', '--work-dir', str(work / 'test')]
    tested = [file_mark(checkpoint), config_hash(config), file_mark(plan.proposals('test'))]
    steps.run('test', tested, [metrics], [*action, *words({'default_hooks.logger.interval': 50} | plan.data_options)])
    report = work / 'report.html'
    steps.run('report', [file_mark(metrics), file_mark(checkpoint)], [report], [*tool('analysis_tools/report.py'), str(work)])
    return json.loads(metrics.read_text())


def is_stale(plan: Plan, split: str, settings: 'SelectiveSearchSettings') -> bool:
    """Whether the proposals that are there were made of other images or settings; the first image's are made again to see."""
    import cv2
    import numpy as np

    from mmlabelpenet.datasets.proposals import ProposalFile
    from mmlabelpenet.datasets.selective_search import selective_search

    if not plan.proposals(split).exists():
        return False
    names = sorted(path.stem for path in (plan.data / 'JPEGImages').glob(f'{split}_*'))
    try:
        present = ProposalFile(plan.proposals(split))
    except ValueError:
        return True
    image = cv2.imread(str(plan.data / 'JPEGImages' / f'{names[0]}.jpg'))
    return present.image_ids != names or not np.array_equal(present.get(names[0])[0], selective_search(image, settings)[0])


def check_unchanged(steps: Steps, name: str, settings: Any, work_dir: Path) -> None:
    """Do not go on with a training of other settings, and do not overwrite it.

    Raises:
        ValueError: the work dir holds one.
    """
    known = steps.done.get(name)
    other = known['settings'] != fingerprint(settings) if known else True
    if (work_dir / 'last_checkpoint').exists() and other:
        raise ValueError(f'{work_dir} holds a training with other settings. Choose another --work-dir, or remove that one.')


def collect_log(work_dir: Path) -> None:
    """Write the logs of all training runs, one after the other, as ``train.log``."""
    logs = sorted(path for path in work_dir.glob('*/*.log') if path.stem == path.parent.name)
    (work_dir / 'train.log').write_text(''.join(path.read_text(errors='replace') for path in logs))


def parse_args(argv: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog='python -m mmlabelpenet.quickstart', description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--work-dir', type=Path, help='default work_dirs/quickstart')
    parser.add_argument('--seed', type=int, default=0, help='of training (default: 0)')
    parser.add_argument('--data', type=Path, help=f'where the data set is or is to be (default: {DATA})')
    parser.add_argument('--quick-check', action='store_true', help='a few images and iterations: does everything work? No useful numbers.')
    args = parser.parse_args(argv)
    end = '_check' if args.quick_check else ''
    return Plan(args.work_dir or Path(f'work_dirs/quickstart{end}'), args.seed, args.data or Path(DATA + end), args.quick_check)


def main(argv: list[str] | None = None) -> None:
    """Run, print the table and where everything is."""
    plan = parse_args(argv)
    start = time.monotonic()
    table = quickstart(plan)
    from mmlabelpenet.evaluation.table import text_table

    say('\n' + text_table(table) + f'\n\nAll in {clock(time.monotonic() - start)}. Open {plan.work_dir / "report.html"}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted. Give the same command again to go on.')
    except (ValueError, FileNotFoundError, RuntimeError) as problem:
        sys.exit(f'Error: {problem}')
