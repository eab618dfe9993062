"""Measure how many random faults in the method the default tests catch: python tests/mutation.py --faults 500 --seed 0.

A fault is one change in a syntax tree: another operator or comparison, another number, a negated condition, a removed statement, swapped or
removed arguments. One process imports and collects everything; each fault runs in a fork of it: first the tests that execute its line, then
those that execute its file, the most specific first, until one fails. The lines executed by each test are measured once (--coverage). For a
fault outside a function, the fork starts without the package and imports the faulty module. A test that fails, crashes or hangs counts only
if it passes in the same way with the original.

Survivors are listed with file, line and change. Those that cannot change a result (a message, a type, a default that every caller
overrides) must be identified by hand; every other one needs a test. `--again` reruns the survivors of an earlier call with the current
tests.
"""

import argparse
import ast
import gc
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from coverage import CoverageData
from replaced_code import Finder, Loaded, holder
from syntax_faults import ROOT, changes, faulty

PACKAGE = ROOT / 'mmlabelpenet'
PARTS = (
    'calibration', 'models', 'engine', 'datasets', 'evaluation', 'formats', 'ops',
    'files', 'processes', 'registry', 'schema', 'structures', 'tensor_files', 'timing', 'utils', 'workers',
)  # fmt: skip
PRELOADED = (
    'torch', 'torchvision', 'cv2', 'mmengine.runner', 'mmcv', 'mmcv.ops', 'mmdet.models', 'mmdet.datasets', 'scipy.io',
)  # fmt: skip
QUIET = ('-q', '-p', 'no:cacheprovider')
WAITING = 120  # seconds without CPU use that count as a deadlock
MOST_ANEW = 100  # tests that are collected again because their module is reimported
ANEW = 99  # exit status: the module must be reimported


class Failures:
    """Writes the name of the running test to a file until one fails, and ends a run after a number of CPU seconds."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds, self.failed = file, seconds, False
        self.begin: float | None = None  # CPU seconds before the first test of a fork

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if not self.failed:
            self.file.write_text(nodeid)
        self.begin = sum(os.times()[:4]) if self.begin is None else self.begin

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    def pytest_runtest_logfinish(self) -> None:
        if not self.failed and sum(os.times()[:4]) > self.begin + self.seconds:
            pytest.exit('No test failed within the time limit.', 0)


class Server:
    """Replaces pytest's run after collection: runs faults."""

    def __init__(self, args: argparse.Namespace, faults: list[tuple[Path, int]], failures: Failures) -> None:
        self.args, self.faults, self.failures = args, faults, failures
        self.sound: dict[tuple[bool, str], bool] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.measured = CoverageData(str(self.args.coverage))
        self.measured.read()
        self.lines = {path: self._lines(path) for path in PACKAGE.rglob('*.py')}
        self.breadth = Counter(test for lines in self.lines.values() for tests in lines.values() for test in tests)
        self._run([next(item.nodeid for item in session.items if '_toy_batch' in item.fixturenames)])  # makes what belongs to the session
        self.failures.begin = None
        self.loaded = Loaded()
        gc.freeze()
        self._try_faults()
        return True

    def _run(self, tests: list[str]) -> bool:
        """Whether any of the tests fails; later ones do not run, and session fixtures are kept."""
        self.failures.failed, items = False, [self.items[test] for test in tests]
        items[0].session._setupstate.teardown_exact(items[0])
        try:
            for item, after in zip(items, [*items[1:], next(iter(self.items.values()))]):
                item._initrequest()  # it may have run before
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if self.failures.failed:
                    break
        except pytest.exit.Exception:
            pass
        return self.failures.failed

    def _try_faults(self) -> None:
        known = {line['number']: line['caught'] for line in read_lines(self.args.out)}
        for order, (path, number) in enumerate(self.faults):
            if known.get(order) or order in known and not self.args.again:
                continue
            source, text, line = faulty(path, number)
            begin = time.monotonic()
            name = holder(path, line) if path.name != '__init__.py' else None  # what others import of it, they have
            by = self._caught_by(path, source, name, self._tests(path, line))
            known[order] = by is not None
            found = dict(number=order, fault=text, caught=by is not None, by=by, seconds=round(time.monotonic() - begin, 1))
            with self.args.out.open('a') as stream:
                stream.write(json.dumps(found) + '\n')
            said = f'{sum(known.values())} of {len(known)} caught; {f"{by} caught" if by else "SURVIVES"}: {text}\n'
            sys.__stdout__.write(said)
            sys.__stdout__.flush()

    def _caught_by(self, path: Path, source: str, name: str | None, tests: list[str]) -> str | None:
        """The test that fails, crashes or hangs, 'import', or None."""
        while tests:
            anew, by = self._in_fork(path, name, source, tests)
            if by not in self.items or self._is_sound(path, name, by, anew):
                return by
            tests.remove(by)
        return None

    def _is_sound(self, path: Path, name: str | None, test: str, anew: bool) -> bool:
        if (anew, test) not in self.sound:
            self.sound[anew, test] = self._in_fork(path, None if anew else name, path.read_text(encoding='utf-8'), [test])[1] is None
        return self.sound[anew, test]

    def _lines(self, path: Path) -> dict[int, set[str]]:
        """Tests that execute each line of a file."""
        measured = self.measured.contexts_by_lineno(str(path)).items()
        return {line: {context.rpartition('|')[0] for context in contexts} for line, contexts in measured}

    def _tests(self, path: Path, line: int) -> list[str]:
        """Tests that execute a line, then those that execute its file or mirror it; the most specific first."""
        parts, lines = path.relative_to(PACKAGE).with_suffix('').parts, self.lines[path]
        own = {path, ROOT.joinpath('tests', *(f'test_{part}' for part in parts)).with_suffix('.py')}
        mirror = {test for test, item in self.items.items() if item.path in own}
        executing = lines.get(max((each for each in lines if each <= line), default=0), set())

        def rank(test: str) -> tuple[bool, bool, int]:
            return test in self.breadth and test not in executing, test not in mirror, self.breadth[test]

        return sorted(mirror.union(*lines.values()) & self.items.keys() or self.items, key=rank)

    def _in_fork(self, path: Path, name: str | None, source: str, tests: list[str]) -> tuple[bool, str | None]:
        """Whether the module had to be reimported, and which test failed with this source ('import': it cannot be imported)."""
        self.failures.file.unlink(missing_ok=True)

        def run() -> int:
            return int(self._run(tests)) if self.loaded.replace(path, name, source) else ANEW

        status = ANEW if name is None else in_fork(run, self.args.seconds)
        if anew := status == ANEW:
            os.write(self.args.ask, (json.dumps([str(path), source, tests[:MOST_ANEW]]) + '\n').encode())
            status = int(self.args.answer.readline())
        if status == 0:
            return anew, None
        return anew, self.failures.file.read_text() if self.failures.file.is_file() else 'import'


def read_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def in_fork(run: object, seconds: float) -> int:
    """Exit status of a forked process; negative if it hangs."""
    process = os.fork()
    if process == 0:
        os.setsid()
        sink = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(sink, number)
        resource.setrlimit(resource.RLIMIT_CPU, (int(2 * seconds + 30),) * 2)
        try:
            os._exit(run())
        finally:
            os._exit(1)
    used, since = '', time.monotonic()
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < since + WAITING:
        time.sleep(0.02)
        if (now := Path(f'/proc/{process}/stat').read_text().split()[13:17]) != used:
            used, since = now, time.monotonic()
    if ended == (0, 0):
        os.killpg(process, signal.SIGKILL)
        ended = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(ended[1])


def serve_imports(questions: object, answer: int, failures: Failures) -> None:
    """Run tests with a faulty module, in forks of this process, which has not imported the package."""
    for line in questions:
        path, source, tests = json.loads(line)

        def run(path: Path = Path(path), source: str = source, tests: list[str] = tests) -> int:
            finder = Finder('.'.join(path.relative_to(ROOT).with_suffix('').parts), path, source)
            return int(pytest.main([*QUIET, '-x', *tests], plugins=[failures, finder])) != 0

        os.write(answer, f'{in_fork(run, failures.seconds)}\n'.encode())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS, help='files of the package (default: the method)')
    parser.add_argument('--seconds', type=float, default=60, help='CPU seconds for the tests of one fault (default: 60)')
    parser.add_argument('--again', action='store_true', help='rerun the survivors in --out')
    parser.add_argument(
        '--out', type=Path, default=Path('mutation.jsonl'), help='output with one line per fault; caught ones are not rerun'
    )
    parser.add_argument('--coverage', type=Path, default=Path('mutation.coverage'), help='lines executed by each test; measured if missing')
    args = parser.parse_args()
    args.out, args.coverage = args.out.absolute(), args.coverage.absolute()
    return args


def main() -> None:
    """Generate faults, run tests, and report how many were caught."""
    args = parse_args()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    if not args.coverage.is_file():
        command = [sys.executable, '-m', 'pytest', *QUIET, '--cov=mmlabelpenet', '--cov-context=test', '--cov-report=']
        subprocess.run(command, check=False, env=os.environ | {'COVERAGE_FILE': str(args.coverage)})
    for name in ('mmlabelpenet', *PRELOADED):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmlabelpenet']:
        del sys.modules[name]  # forks reimport it
    paths = sorted(path for part in args.parts for path in [*PACKAGE.glob(f'{part}.py'), *(PACKAGE / part).rglob('*.py')])
    places = [(path, number) for path in paths for number in range(len(changes(ast.parse(path.read_text(encoding='utf-8')))))]
    faults = random.Random(args.seed).sample(places, min(args.faults, len(places)))
    failures = Failures(args.out.with_suffix('.failed'), args.seconds)
    (read_question, args.ask), (read_answer, answer) = os.pipe(), os.pipe()
    args.answer = os.fdopen(read_answer)
    if os.fork() == 0:
        os.close(args.ask)
        serve_imports(os.fdopen(read_question), answer, failures)
        os._exit(0)
    sys.exit(pytest.main([*QUIET], plugins=[failures, Server(args, faults, failures)]))


if __name__ == '__main__':
    main()
