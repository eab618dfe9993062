"""Check, measure and train on a GPU for some minutes.

    bash tools/gpu_check.sh [--minutes 8] [--data DEVKIT] [--out DIR] [--device cuda|cpu]

Sections, the most important first: environment, tests on the device, VGG-16 as in the paper, a training, memory layouts, benchmark
suites. Each has a time limit and a process of its own; one that fails or is cut off keeps what it has measured. Results are in DIR:
gpu_check.json, gpu_check.html and a log of each section.
"""

import time
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path

from mmlabelpenet.terminal import new_parser, run, say
from mmlabelpenet.workbench.gpu_check.records import Outcome, Report, Settings, write
from mmlabelpenet.workbench.gpu_check.sections import Section, run_sections

SECTIONS = (
    Section('environment', 'Environment', 0.2, f'{__package__}.environment:environment'),
    Section('tests', 'Tests on the device', 0.25, f'{__package__}.suites:tests'),
    Section('vgg16', 'VGG-16 as in the paper', 0.3, f'{__package__}.paper:paper'),
    Section('training', 'A training from image tags', 0.45, f'{__package__}.training:training'),
    Section('layouts', 'Memory layout, bf16, torch.compile', 0.1, f'{__package__}.layouts:layouts'),
    Section('benchmarks', 'Benchmark suites', 1.0, f'{__package__}.suites:benchmarks'),
)


def new_arguments() -> ArgumentParser:
    """The parser of the command line."""
    parser = new_parser(__doc__, 'gpu_check', 'bash tools/gpu_check.sh')
    parser.add_argument('--minutes', type=float, default=8.0, help='for everything together (default: 8)')
    parser.add_argument(
        '--data', type=Path, metavar='DEVKIT', help='VOC devkit to train on, with proposals/SPLIT.npz (default: rendered images)'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu_check'), metavar='DIR', help='default: work_dirs/gpu_check')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='cpu runs everything at a small size (default: cuda)')
    parser.add_argument('--section', nargs='+', choices=[section.name for section in SECTIONS], help='only these')
    return parser


def parse_args(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = new_arguments()
    args = parser.parse_args(argv)
    if not args.minutes > 0:
        parser.error(f'--minutes must be positive, got {args.minutes:g}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the sections; the report is written after each, the page at the end, also after an interruption.

    Returns:
        1 if one failed, else 0.
    """
    begin, args = time.monotonic(), parse_args(argv)
    if args.data is not None and not (args.data / 'ImageSets/Main').is_dir():
        raise FileNotFoundError(f'{str(args.data)!r} is not a VOC devkit: it has no folder ImageSets/Main.')
    if args.device == 'cuda':
        _require_gpu()
    chosen = [section for section in SECTIONS if args.section is None or section.name in args.section]
    settings = Settings(args.device, str(args.out.resolve()), str(args.data.resolve()) if args.data else None)
    report = Report(args.device, args.minutes, f'{datetime.now():%Y-%m-%d %H:%M}', [])

    def finished(outcomes: list[Outcome]) -> None:
        report.sections = outcomes
        write(args.out / 'gpu_check.json', report)
        last = outcomes[-1]
        say(f'{last.title}: {last.state}, {last.seconds:.0f} s' + ''.join(f'\n    {text}' for text in last.findings.problems))

    try:
        run_sections(chosen, settings, 60 * args.minutes - (time.monotonic() - begin), finished)
    finally:
        _write_page(args.out / 'gpu_check.html', report)
    say(f'Open {args.out / "gpu_check.html"}')
    return int(any(outcome.state == 'failed' for outcome in report.sections))


def _write_page(path: Path, report: Report) -> None:
    from mmlabelpenet.workbench.report.page import write_page  # takes as long as a section may: it loads PyTorch and MMDetection

    write_page(path, 'gpu_check.html', title='GPU check', report=report)


def _require_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise ValueError(f'PyTorch {torch.__version__} finds no CUDA device. --device cpu runs the same at a small size on the CPU.')


if __name__ == '__main__':
    run(main)
