"""Compare the time of each part of the method with its arithmetic cost: suites of comparisons, each giving a ratio.

    python tools/analysis_tools/benchmark.py                                # all suites
    python tools/analysis_tools/benchmark.py --suite cascade mil --json results.json

A suite is a file in benchmarks/ with a function ``comparisons(device)`` that yields ``Comparison`` objects (comparison.py). The variants of
a comparison run alternately, several times after a warm-up; the ratio is the median of the ratios of the rounds. The exit status is 0 even
if a target is missed. With --json FILE, the results are written as a list of objects, one per comparison.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmlabelpenet.options import Parser, whole
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say

FOLDER = Path(__file__).resolve().parent / 'benchmarks'


def suite_names() -> list[str]:
    """Files of ``benchmarks/``; one whose name begins with an underscore is not a suite."""
    return sorted(path.stem for path in FOLDER.glob('[!_]*.py'))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('--suite', nargs='+', choices=suite_names(), default=suite_names(), metavar='NAME', help=', '.join(suite_names()))
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all results to this file')
    parser.add_argument(
        '--runs', type=whole(1), help='number of rounds of every comparison, after one warm-up round (default: set by the comparison)'
    )
    parser.add_argument(
        '--cpu-time', action='store_true', help='measure CPU time, for a busy machine; not for suites with several processes'
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: cuda if available)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the suites; each result is printed at once, and the file is updated after every comparison."""
    args = parse_args(argv)
    from mmlabelpenet.registry import MODELS  # noqa: F401, I001  before mmdet: it selects the kernels of mmcv.ops
    from mmlabelpenet.apis.image_inputs import usable_device

    device = usable_device(args.device)
    where = surroundings(device) | (use_cpu_time() if args.cpu_time else {})
    say(', '.join(f'{name} {value}' for name, value in where.items()))
    results = []
    for name in args.suite:
        for result in run_suite(name, device, args.runs):
            results.append(dict(suite=name, **result, **where))
            print_result(results[-1])
            if args.json:
                write_json(args.json, results)
    judged = [result for result in results if result['holds'] is not None]
    missed = [f'\n  not reached: {r["suite"]}, {r["comparison"]}' for r in judged if not r['holds']]
    say(f'\n{counted(len(judged) - len(missed), "comparison", "reaches", of=len(judged))} the expected figure.{"".join(missed)}')


def use_cpu_time() -> dict[str, str]:
    """Take the time of this process on the processor from now on, in place of that of the clock; says so."""
    import time

    sys.path[:0] = [path for path in (str(FOLDER.parent), str(FOLDER)) if path not in sys.path]
    import comparison

    comparison.clocks.append(time.process_time)
    return dict(clock='processor')


def run_suite(name: str, device: Any, runs: int | None = None) -> Iterator[dict[str, Any]]:
    """Results of a suite, one by one."""
    from importlib import import_module

    sys.path[:0] = [path for path in (str(FOLDER.parent), str(FOLDER)) if path not in sys.path]
    from comparison import measure
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmlabelpenet')
    for comparison in import_module(f'benchmarks.{name}').comparisons(device):
        yield measure(replace(comparison, runs=runs, warmup=1) if runs else comparison, device)


def surroundings(device: Any) -> dict[str, str]:
    """Device, threads and versions."""
    import platform

    import torch

    from mmlabelpenet.apis.receipt import git_commit, package_versions

    model = torch.cuda.get_device_name(device) if device.type == 'cuda' else platform.processor() or platform.machine()
    threads = f'{torch.get_num_threads()} of torch, {len(os.sched_getaffinity(0))} cores'
    versions = ', '.join(f'{name} {version}' for name, version in package_versions().items())
    return dict(device=f'{device.type} ({model})', threads=threads, versions=versions, commit=str(git_commit()))


def print_result(result: dict[str, Any]) -> None:
    """A few lines of text."""
    sign = '>=' if result['at_least'] else '<='
    aim = '' if result['reach'] is None else f', to reach {sign} {result["reach"]:g}: {"yes" if result["holds"] else "NO"}'
    say(f'\n{result["suite"]}: {result["comparison"]} ({result["shapes"]}; {counted(result["runs"], "run")})')
    for name, median in result['median_s'].items():
        say(f'  {name:<44} {1000 * median:10.2f} ms  ± {1000 * result["spread_s"][name]:.2f}')
    say(f'  ratio {result["ratio"]:.3f}{aim}')


def write_json(path: Path, results: list[dict[str, Any]]) -> None:
    """The file is there whole or not at all."""
    from mmlabelpenet.files import atomic_write

    with atomic_write(path) as file:
        file.write(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    run(main)
