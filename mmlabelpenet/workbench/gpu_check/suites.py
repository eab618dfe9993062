"""Run the tests marked ``gpu`` and the suites of ``benchmark.py``, recording one result at a time."""

import os
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mmlabelpenet.files import shipped
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

FILES = ('test_gpu.py', 'test_gpu_labels.py', 'test_ops/test_init.py', 'test_ops/test_roi_pool.py', 'test_calibration/test_crf.py')
SUITES = ('cascade', 'mil', 'calibration', 'excitation', 'recurrent', 'crf', 'frozen')


class _Results:
    """A pytest plugin that records each result immediately."""

    def __init__(self, notes: Notebook) -> None:
        self.notes, self.counts = notes, Counter[str]()

    def pytest_runtest_logreport(self, report) -> None:  # noqa: ANN001  pytest's
        if report.when != 'call' and report.outcome == 'passed':
            return
        self.counts[report.outcome] += 1
        name = report.nodeid.removeprefix('tests/')
        cells = [name, report.outcome, round(report.duration, 1)]
        if report.outcome == 'passed':
            self.notes.row('Passed', ['test', 'result', 'seconds'], cells)
        else:
            self.notes.row('Failed or skipped', ['test', 'result', 'seconds', 'reason'], [*cells, reason(report)])
        self.notes.result(', '.join(f'{self.counts[key]} {key}' for key in ('passed', 'failed', 'skipped')))


def reason(report) -> str:  # noqa: ANN001  pytest's
    """The reason for a failed or skipped test, in one line."""
    if report.outcome == 'skipped':
        return str(report.longrepr[-1])
    crash = getattr(report.longrepr, 'reprcrash', None)
    return (str(report.longrepr) if crash is None else crash.message).partition('\n')[0][:300]


def tests(settings: Settings, notes: Notebook) -> None:
    """Run ``pytest -m gpu``, or on the CPU the tests that can also run without a GPU.

    Raises:
        ChildProcessError: tests failed.
    """
    folder = shipped('tools').parent / 'tests'
    files = [folder / name for name in (FILES[:2] if settings.small else FILES)]
    if not all(file.is_file() for file in files):
        notes.problem('This installation has no tests; run the check from a checkout or a bundle.')
        return
    import pytest

    os.chdir(folder.parent)
    chosen = ['-m', 'not gpu' if settings.small else 'gpu', '-W', 'default']  # warnings of other releases are not failures here
    status = pytest.main(['-v', '-p', 'no:cacheprovider', *chosen, *map(str, files)], [_Results(notes)])
    if status:
        raise ChildProcessError(f'pytest exited with status {int(status)}.')


def benchmarks(settings: Settings, notes: Notebook) -> None:
    """Run the suites of ``benchmark.py`` on the device; a failing suite is recorded as a problem."""
    import torch

    from mmlabelpenet.registry import MODELS  # noqa: F401  before mmdet: it selects the kernels of mmcv.ops

    tool, held = _load(shipped('tools/analysis_tools/benchmark.py')), list[bool | None]()
    for suite in SUITES[1:2] if settings.small else SUITES:
        try:
            for result in tool.run_suite(suite, torch.device(settings.device), 1 if settings.small else 5):
                times = ', '.join(f'{name} {1000 * seconds:.1f} ms' for name, seconds in result['median_s'].items())
                reached = {None: '', True: 'yes', False: 'no'}[result['holds']]
                head = ['suite', 'comparison', 'median times', 'ratio', 'reaches its figure']
                notes.row('Comparisons', head, [suite, result['comparison'], times, round(result['ratio'], 3), reached])
                held.append(result['holds'])
                notes.result(f'target reached: {held.count(True)}, not reached: {held.count(False)}, no target: {held.count(None)}')
        except (RuntimeError, ValueError, TypeError, ImportError, OSError) as error:
            notes.problem(f'Suite {suite}: {type(error).__name__}: {error}'[:500])


def _load(path: Path):  # noqa: ANN202  a module
    spec = spec_from_file_location(f'tool_{path.stem}', path)
    if spec is None or spec.loader is None:
        raise ImportError(f'{path} cannot be imported.')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
