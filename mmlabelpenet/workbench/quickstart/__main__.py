"""Train and test all stages on a small rendered data set: render, propose, train, test, report.

    python -m mmlabelpenet.workbench.quickstart [--work-dir work_dirs/quickstart] [--seed 0] [--data data/rendered] [--quick-check]

When the same command is run again, steps finished with the same settings are skipped, and an interrupted training is resumed.
"""

import json
import os
import shlex
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlabelpenet.files import atomic_write, file_hash, locked, shipped, shown
from mmlabelpenet.options import option_words, seed
from mmlabelpenet.progress import clock
from mmlabelpenet.terminal import AGAIN, new_parser, run, say
from mmlabelpenet.workbench.quickstart.steps import Steps, fingerprint

if TYPE_CHECKING:
    from mmlabelpenet.ops.selective_search import SelectiveSearchSettings

NAMES = ('quickstart', 'python -m mmlabelpenet.workbench.quickstart')
CONFIG = 'configs/labelpenet/labelpenet_lite0_rendered.py'
DATA = 'data/rendered'
SPLITS = ('train', 'test')
CHECK_ITERS = dict(classification=3, detection=2, refinement=2, segmentation=2, recurrent=1)
CHECK_IMAGES = dict(num_train=4, num_test=2)


@dataclass(frozen=True)
class Plan:
    """Settings of a quickstart.

    Attributes:
        work_dir: folder of the results.
        data: folder of the data set, created if needed.
        check: use only a few images and iterations, to verify that everything works.
    """

    work_dir: Path
    seed: int
    data: Path
    check: bool

    @property
    def images(self) -> dict[str, int]:
        """Non-default settings of the renderer."""
        return CHECK_IMAGES if self.check else {}

    def proposals(self, split: str) -> Path:
        """The proposal file of a split."""
        return self.data.parent / 'proposals' / f'{self.data.name}_{split}.npz'

    @property
    def data_options(self) -> dict[str, Any]:
        """Config overrides for data in another folder than the config's."""
        if self.data == Path(DATA):
            return {}
        options: dict[str, Any] = {}
        for loader, split in (('train', 'train'), ('label', 'train'), ('test', 'test'), ('corloc', 'train')):
            options[f'{loader}_dataloader.dataset.data_root'] = str(self.data)
            options[f'{loader}_dataloader.dataset.proposals'] = str(self.proposals(split))
        return options | {f'{name}_evaluator.data_root': str(self.data) for name in ('test', 'corloc')}

    @property
    def train_options(self) -> dict[str, Any]:
        """Config overrides for training."""
        options = {'randomness.seed': self.seed, 'default_hooks.checkpoint.interval': 100}
        if self.check:
            options |= {f'train_cfg.phases.{name}.iters': iters for name, iters in CHECK_ITERS.items()}
            options |= {f'{name}_dataloader.num_workers': 0 for name in ('train', 'label')}
            options |= {'default_hooks.logger.interval': 1, 'train_dataloader.batch_size': 2}
        return options | self.data_options


def words(options: dict[str, Any]) -> list[str]:
    """Options as command-line arguments.

    >>> words({'a.b': 1, 'c': 'x'})
    ['--cfg-options', 'a.b=1', 'c=x']
    """
    return ['--cfg-options', *option_words(options)] if options else []


def tool(name: str) -> list[str]:
    """The start of a command that runs a script of ``tools``."""
    return [sys.executable, shown(shipped(f'tools/{name}'))]


def side_by_side(command: list[str]) -> list[str]:
    """The same with one process per GPU, or with two on a CPU."""
    ranks = 'gpu' if Path('/dev/nvidiactl').exists() else '2'
    return [command[0], '-m', 'torch.distributed.run', '--log-dir', os.devnull, '--standalone', '--nproc-per-node', ranks, *command[1:]]


def quickstart(plan: Plan) -> dict[str, Any]:
    """Run all remaining steps.

    Returns:
        the content of ``metrics.json``.

    Raises:
        ValueError: the work dir contains a training with other settings.
        ChildProcessError: a step failed.
    """
    from mmlabelpenet.apis.config import config_hash, load_config, planned_iterations
    from mmlabelpenet.ops.selective_search import SelectiveSearchSettings
    from mmlabelpenet.workbench.quickstart.rendered import RenderSettings, render_dataset

    work, config_path = plan.work_dir, shipped(CONFIG)
    shown_config = shown(config_path)
    config = load_config(config_path, plan.train_options)
    checkpoint = work / f'iter_{planned_iterations(config)}.pth'
    steps = Steps(work, 4 + len(SPLITS))

    render = RenderSettings(**plan.images)
    flags = [word for key, value in plan.images.items() for word in (f'--{key.removeprefix("num_")}', str(value))]
    command = shlex.join(['python', *tool('dataset_converters/render_voc.py')[1:], str(plan.data), *flags])
    steps.run('render', asdict(render), [plan.data], lambda: render_dataset(plan.data, render), command)
    render_dataset(plan.data, render)  # reports if the data set has been replaced
    search = SelectiveSearchSettings(min_size=28)  # the minimum size of a figure
    for split in SPLITS:
        images = [file_hash(path) for path in sorted((plan.data / 'JPEGImages').glob(f'{split}_*'))]
        more = ['--overwrite'] if is_stale(plan, split, search) else []
        action = [*tool('dataset_converters/selective_search.py'), str(plan.data), split, str(plan.proposals(split))]
        action += ['--min-size', str(search.min_size), '--workers', '2']
        steps.run(f'proposals {split}', [images, asdict(search)], [plan.proposals(split)], [*action, *more])

    training = [config_hash(config), *(file_hash(plan.proposals(split)) for split in SPLITS[:1])]
    check_unchanged(steps, 'train', training, work)
    action = [*tool('train.py'), shown_config, '--work-dir', str(work), '--resume', *words(plan.train_options)]
    steps.run('train', training, [checkpoint], action)
    collect_log(work)

    metrics = work / 'metrics.json'
    action = [*side_by_side(tool('test.py')), shown_config, str(checkpoint), '--corloc', '--out', str(metrics)]
    action += ['--launcher', 'pytorch', '--work-dir', str(work / 'test')]
    tested = [file_hash(checkpoint), config_hash(config), file_hash(plan.proposals('test'))]
    steps.run('test', tested, [metrics], [*action, *words({'default_hooks.logger.interval': 50} | plan.data_options)])
    report = work / 'report.html'
    steps.run('report', [file_hash(metrics), file_hash(checkpoint)], [report], [*tool('analysis_tools/report.py'), str(work)])
    return json.loads(metrics.read_text(encoding='utf-8'))


def is_stale(plan: Plan, split: str, settings: 'SelectiveSearchSettings') -> bool:
    """Whether existing proposals belong to other images or settings, checked by recomputing those of the first image."""
    import cv2
    import numpy as np

    from mmlabelpenet.datasets.proposals import ProposalFile
    from mmlabelpenet.ops.selective_search import selective_search

    if not plan.proposals(split).exists():
        return False
    names = sorted(path.stem for path in (plan.data / 'JPEGImages').glob(f'{split}_*'))
    try:
        present = ProposalFile(plan.proposals(split))
    except ValueError:
        return True
    image = cv2.imread(str(plan.data / 'JPEGImages' / f'{names[0]}.jpg'))
    return present.image_ids != names or not np.array_equal(present.get(names[0])[0], selective_search(image, settings))


def check_unchanged(steps: Steps, name: str, settings: Any, work_dir: Path) -> None:
    """Reject a work dir that contains a training with other settings.

    Raises:
        ValueError: it contains one.
    """
    known = steps.done.get(name)
    other = known['settings'] != fingerprint(settings) if known else True
    if (work_dir / 'last_checkpoint').exists() and other:
        raise ValueError(f'{work_dir} contains a training with other settings. Choose another --work-dir, or remove it.')


def collect_log(work_dir: Path) -> None:
    """Concatenate the logs of all training runs as ``train.log``."""
    from mmlabelpenet.apis.run_note import run_files

    logs = [path for path in run_files(work_dir, '*.log') if path.stem == path.parent.name]
    with atomic_write(work_dir / 'train.log') as file:
        file.writelines(path.read_text(encoding='utf-8', errors='replace') for path in logs)


def parse_args(argv: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = new_parser(__doc__, *NAMES)
    parser.add_argument('--work-dir', type=Path, help='default work_dirs/quickstart')
    parser.add_argument('--seed', type=seed, default=0, help='random seed of training (default: 0)')
    parser.add_argument('--data', type=Path, help=f'folder of the data set, created if needed (default: {DATA})')
    parser.add_argument(
        '--quick-check',
        action='store_true',
        help='use only a few images and iterations to verify that everything works; the numbers are meaningless',
    )
    args = parser.parse_args(argv)
    end = '_check' if args.quick_check else ''
    return Plan(args.work_dir or Path(f'work_dirs/quickstart{end}'), args.seed, args.data or Path(DATA + end), args.quick_check)


def main(argv: list[str] | None = None) -> None:
    """Run, print the table and the output paths."""
    plan = parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates the running step
    start = time.monotonic()
    with locked(plan.work_dir / 'quickstart.json'):
        table = quickstart(plan)
    from mmlabelpenet.evaluation.table import text_table

    say('\n' + text_table(table) + f'\n\nAll in {clock(time.monotonic() - start)}. Open {plan.work_dir / "report.html"}')


if __name__ == '__main__':
    run(main, AGAIN)
