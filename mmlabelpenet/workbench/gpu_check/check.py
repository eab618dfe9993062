"""Check a GPU, benchmark it and train on it for a few minutes.

    bash tools/gpu_check.sh [--minutes 8] [--data DEVKIT] [--out DIR] [--device cuda|cpu]

Sections, the most important first: environment, tests on the device, VGG-16 as in the paper, a training, memory layouts, benchmark
suites. Each has a time limit and its own process; if it fails, times out or is interrupted, its results so far are kept. After each
section, the results so far are in DIR: gpu_check.html, gpu_check.json and a log of each section.
"""

import math
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from threading import Thread

from mmlabelpenet.files import locked, make_folder
from mmlabelpenet.terminal import new_parser, say
from mmlabelpenet.workbench.gpu_check.records import Outcome, Report, Settings, write
from mmlabelpenet.workbench.gpu_check.sections import Section, run_sections

PAGE = 'mmlabelpenet.workbench.report.page'
SECTIONS = (
    Section(
        'environment',
        'Environment',
        0.2,
        f'{__package__}.environment:environment',
        'Versions, the GPU, and available optional packages.',
    ),
    Section(
        'tests',
        'Tests on the device',
        0.25,
        f'{__package__}.suites:tests',
        'Results on the device are compared with those on the CPU. With --device cpu, the CPU is used instead of the GPU.',
    ),
    Section(
        'vgg16',
        'VGG-16 as in the paper',
        0.3,
        f'{__package__}.paper:paper',
        'Iterations of each training phase, and label passes, on random noise. "Seconds each": per iteration, or per image in a label '
        'pass. Label passes always run in float32. "Peak GB": allocated GPU memory; on the CPU, memory of the process so far. "Times" '
        'and "hours": in the whole schedule of the paper. "Waits": fraction of the time that the network waits for CPU processes that '
        'load images or, in a label pass, run the CRF.',
    ),
    Section(
        'training',
        'A training from image tags',
        0.45,
        f'{__package__}.training:training',
        'All phases, shortened to fit the time, then the metrics of each stage, on as many test images as time permits. '
        'A shortened schedule gives lower metrics than the whole one.',
    ),
    Section(
        'layouts',
        'Memory layout, bf16, torch.compile',
        0.1,
        f'{__package__}.layouts:layouts',
        'Forward pass of the backbone, forward and backward pass of a tail: median milliseconds, and speedup relative to float32.',
    ),
    Section(
        'benchmarks',
        'Benchmark suites',
        1.0,
        f'{__package__}.suites:benchmarks',
        'Median times of two implementations; "ratio" is the first time divided by the second.',
    ),
)


def new_arguments() -> ArgumentParser:
    """The parser of the command line."""
    parser = new_parser(__doc__, 'gpu_check', 'bash tools/gpu_check.sh')
    parser.add_argument('--minutes', type=float, default=8.0, help='total time in minutes (default: 8)')
    parser.add_argument(
        '--data', type=Path, metavar='DEVKIT', help='VOC devkit to train on, with proposals/SPLIT.npz (default: rendered images)'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu_check'), metavar='DIR', help='default: work_dirs/gpu_check')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='cpu uses small sizes (default: cuda)')
    parser.add_argument('--section', nargs='+', choices=[section.name for section in SECTIONS], help='only these')
    return parser


def parse_args(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = new_arguments()
    args = parser.parse_args(argv)
    if not 0 < args.minutes < math.inf:
        parser.error(f'--minutes must be positive, got {args.minutes:g}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the sections; the report is written after each, also if it is interrupted.

    Returns:
        1 if one failed, else 0.
    """
    begin, args = time.monotonic(), parse_args(argv)
    if args.data is not None:
        from mmlabelpenet.workbench.gpu_check.training import check_devkit  # loads PyTorch

        check_devkit(args.data)
    if args.device == 'cuda':
        _require_gpu()
    check_folder(args.out)
    chosen = [section for section in SECTIONS if args.section is None or section.name in args.section]
    settings = Settings(args.device, str(args.out.resolve()), str(args.data.resolve()) if args.data else None)
    report, page = Report(args.device, args.minutes, f'{datetime.now():%Y-%m-%d %H:%M}', []), args.out / 'gpu_check.html'

    def finished(outcomes: list[Outcome]) -> None:
        report.sections = outcomes
        write(args.out / 'gpu_check.json', report)
        last = outcomes[-1]
        result = f', {last.findings.result}' if last.findings.result else ''
        say(f'{last.title}: {last.state}, {last.seconds:.0f} s{result}' + ''.join(f'\n    {text}' for text in last.findings.problems))
        import_module(PAGE).write_page(page, 'gpu_check.html', title='GPU check', report=report)

    with locked(args.out):
        write(args.out / 'gpu_check.json', report)  # before any time is spent; also marks the folder as belonging to a check
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates the running section
        Thread(target=_load_page).start()  # in parallel with the first section: loads PyTorch and MMDetection
        run_sections(chosen, settings, 60 * args.minutes - (time.monotonic() - begin), finished)
    say(f'Open {page}')
    return int(any(outcome.state == 'failed' for outcome in report.sections))


def check_folder(path: Path) -> None:
    """Create a folder for results; reject one with other files, which the check might replace.

    Raises:
        FileExistsError: it contains files other than an earlier check.
        OSError: it cannot be created or written.
    """
    try:
        make_folder(path)
        filled, reason = any(path.iterdir()), None if os.access(path, os.W_OK) else 'it is read-only'
    except NotADirectoryError:
        raise
    except OSError as error:
        filled, reason = False, error.strerror
    if reason:
        raise OSError(f'--out {path} cannot be written ({reason}). Choose another folder.')
    if filled and not (path / 'gpu_check.json').is_file():
        raise FileExistsError(f'--out {path} contains other files and no earlier check. Choose a new or an empty folder.')


def _load_page() -> None:
    with suppress(ImportError):  # the first section reports missing packages
        import_module(PAGE)


def _require_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise ValueError(f'PyTorch {torch.__version__} finds no CUDA device. Use --device cpu to run with small sizes on the CPU.')
