"""The tests marked ``gpu`` and the suites of ``benchmark.py``, one result at a time."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mmlabelpenet.files import shipped
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

FILES = ('test_gpu.py', 'test_ops/test_init.py', 'test_calibration/test_crf.py')
SUITES = ('cascade', 'mil', 'calibration', 'excitation', 'recurrent', 'crf', 'frozen')
_RESULT = re.compile(r'(?:\S*/)?tests/(\S+::\S.*?) (PASSED|FAILED|SKIPPED|ERROR)')


def tests(settings: Settings, notes: Notebook) -> None:
    """Run ``pytest -m gpu``, or on the CPU those tests of ``tests/test_gpu.py`` that also run there.

    Raises:
        ChildProcessError: tests failed.
    """
    folder = shipped('tools').parent / 'tests'
    files = [folder / name for name in (FILES[:1] if settings.small else FILES)]
    if not all(file.is_file() for file in files):
        notes.problem('This installation has no tests; run the check from a checkout or a bundle.')
        return
    chosen = ['-k', 'cpu'] if settings.small else ['-m', 'gpu']
    words = [sys.executable, '-m', 'pytest', '-v', '-p', 'no:cacheprovider', *chosen, *map(str, files)]
    counts = dict(PASSED=0, FAILED=0, SKIPPED=0, ERROR=0)
    with subprocess.Popen(words, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            if found := _RESULT.match(line):
                counts[found[2]] += 1
                notes.row('Tests', ['test', 'result'], [found[1], found[2].lower()])
                notes.fact('passed, failed, skipped', f'{counts["PASSED"]}, {counts["FAILED"] + counts["ERROR"]}, {counts["SKIPPED"]}')
    if process.returncode:
        raise ChildProcessError(f'pytest ended with exit status {process.returncode}.')


def benchmarks(settings: Settings, notes: Notebook) -> None:
    """Run the suites of ``benchmark.py`` on the device; a suite that fails is a problem, not the end."""
    import torch

    from mmlabelpenet.registry import MODELS  # noqa: F401  before mmdet: it says which kernels serve mmcv.ops

    tool = _load(shipped('tools/analysis_tools/benchmark.py'))
    for suite in SUITES[1:2] if settings.small else SUITES:
        try:
            for result in tool.run_suite(suite, torch.device(settings.device), 1 if settings.small else 5):
                times = ', '.join(f'{name} {1000 * seconds:.1f} ms' for name, seconds in result['median_s'].items())
                reached = {None: '', True: 'yes', False: 'no'}[result['holds']]
                head = ['suite', 'comparison', 'median times', 'ratio', 'reaches its figure']
                notes.row('Comparisons', head, [suite, result['comparison'], times, round(result['ratio'], 3), reached])
        except (RuntimeError, ValueError, TypeError, ImportError, OSError) as error:
            notes.problem(f'Suite {suite}: {type(error).__name__}: {error}'[:500])


def _load(path: Path):  # noqa: ANN202  a module
    spec = spec_from_file_location(f'tool_{path.stem}', path)
    if spec is None or spec.loader is None:
        raise ImportError(f'{path} cannot be imported.')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
