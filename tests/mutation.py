"""How many random faults in the method the default tests catch: python tests/mutation.py --faults 500 --seed 0.

A fault is one change in a syntax tree: another operator or comparison, another number, a negated condition, a statement left out,
arguments swapped or left out. One process imports and collects everything; each fault runs in a fork of it, with its code in place of the
sound one: first the tests that mirror its file, then those that import it or what imports it, then those of its folder, until one fails.
Where a fault is outside of a function, the fork is one that has not imported the package, and imports the faulty module. A test that
catches a fault must pass in the same way with the sound source, or it does not count. A hang or a crash counts as caught.

Survivors are written with file, line and change. Those that cannot change a result (a message, a type, a default that every caller gives)
are to be told apart by hand; each other one needs a test. `--again` runs the survivors of an earlier call, with the tests of today.
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
import sys
import time
from pathlib import Path

import pytest
from replaced_code import Finder, Loaded, holder
from syntax_faults import ROOT, changes, faulty

PACKAGE = ROOT / 'mmlabelpenet'
PARTS = (
    'calibration', 'models', 'engine', 'datasets', 'evaluation', 'formats', 'ops',
    'files', 'processes', 'registry', 'schema', 'structures', 'tensor_files', 'timing', 'utils', 'workers',
)  # fmt: skip
PRELOADED = (
    'torch', 'torchvision', 'cv2', 'mmengine.runner', 'mmcv', 'mmcv.ops', 'mmdet.models', 'mmdet.datasets', 'scipy.io', 'pandas',
)  # fmt: skip
WAITING = 300  # seconds without work: a deadlock
ANEW = 99  # exit status: the module is to be imported anew


class Failures:
    """Writes the name of the first test that fails into a file, and ends a run after some seconds of the processor."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file, self.seconds, self.failed = file, seconds, False
        self.active = False  # in a fork

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.file.write_text(report.nodeid)
        self.failed |= report.failed

    def pytest_runtest_logfinish(self) -> None:
        if self.active and not self.failed and sum(os.times()[:4]) > self.seconds:
            pytest.exit('No test has failed in this time.', 0)


class Server:
    """In pytest's place after collection: runs faults."""

    def __init__(self, args: argparse.Namespace, faults: list[tuple[Path, int]], failures: Failures) -> None:
        self.args, self.faults, self.failures = args, faults, failures
        self.sound: dict[tuple[bool, str], bool] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.imported = {path: imported_modules(path) for path in {*PACKAGE.rglob('*.py'), *(item.path for item in session.items)}}
        self._run([next(item.nodeid for item in session.items if '_toy_batch' in item.fixturenames)])  # makes what belongs to the session
        self.loaded = Loaded()
        gc.freeze()
        self._try_faults()
        return True

    def _run(self, tests: list[str]) -> bool:
        """Whether one of some tests fails; those after it do not run, and what belongs to the session stays."""
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
            by = self._caught_by(path, source, name)
            known[order] = by is not None
            found = dict(number=order, fault=text, caught=by is not None, by=by, seconds=round(time.monotonic() - begin, 1))
            with self.args.out.open('a') as stream:
                stream.write(json.dumps(found) + '\n')
            said = f'{sum(known.values())} of {len(known)} caught; {f"{by} caught" if by else "SURVIVES"}: {text}\n'
            sys.__stdout__.write(said)
            sys.__stdout__.flush()

    def _caught_by(self, path: Path, source: str, name: str | None) -> str | None:
        """The test that fails, 'hang' or 'crash', or None."""
        tests = self._tests(path)
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

    def _tests(self, path: Path) -> list[str]:
        """Tests that mirror a file, those that import it or what imports it, and those of its folder."""
        parts, module = path.relative_to(PACKAGE).with_suffix('').parts, module_of(path)
        users = {module_of(user) for user in self.imported if user.is_relative_to(PACKAGE) and module in self.imported[user]}
        mirror = {path, ROOT.joinpath('tests', *(f'test_{part}' for part in parts)).with_suffix('.py')}
        folders = path.parent, ROOT.joinpath('tests', *(f'test_{part}' for part in parts[:-1]))

        def rank(item: pytest.Item) -> int:
            near = len(parts) > 1 and item.path.parent in folders
            imported = self.imported[item.path]
            return 0 if item.path in mirror else 1 if module in imported else 2 if users & imported else 3 if near else 4

        ranked = sorted((rank(item), order, test) for order, (test, item) in enumerate(self.items.items()))
        return [test for number, _, test in ranked if number < 4]

    def _in_fork(self, path: Path, name: str | None, source: str, tests: list[str]) -> tuple[bool, str | None]:
        """Whether the module had to be imported anew, and which test failed with this source ('hang', 'crash', None: none)."""
        self.failures.file.unlink(missing_ok=True)

        def run() -> int:
            self.failures.active = True
            return int(self._run(tests)) if self.loaded.replace(path, name, source) else ANEW

        status = ANEW if name is None else in_fork(run, self.args.seconds)
        if anew := status == ANEW:
            os.write(self.args.ask, (json.dumps([str(path), source, tests]) + '\n').encode())
            status = int(self.args.answer.readline())
        if status == 0:
            return anew, None
        failed = self.failures.file.read_text() if self.failures.file.is_file() else ''
        return anew, failed if failed in self.items else 'hang' if status < 0 else 'crash'


def module_of(path: Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, also through a package that names what is in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            names = module_of(path).split('.') if node.level else []
            above = names[: len(names) - node.level + (path.stem == '__init__')]
            source = '.'.join([*above, *([node.module] if node.module else [])])
            home = sys.modules.get(source)
            found.add(source)
            for alias in node.names:
                found |= {f'{source}.{alias.name}', getattr(getattr(home, alias.name, None), '__module__', '')}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def read_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def in_fork(run: object, seconds: float) -> int:
    """Exit status of a forked process; negative where it hangs."""
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
            failures.active = True
            sys.meta_path.insert(0, Finder('.'.join(path.relative_to(ROOT).with_suffix('').parts), path, source))
            return int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests], plugins=[failures])) != 0

        os.write(answer, f'{in_fork(run, failures.seconds)}\n'.encode())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS, help='of the package (default: the method)')
    parser.add_argument('--seconds', type=float, default=60, help='of the processor, for the tests of one fault (default: 60)')
    parser.add_argument('--again', action='store_true', help='run survivors in --out again')
    parser.add_argument('--out', type=Path, default=Path('mutation.jsonl'), help='a line for each fault; caught ones do not run again')
    args = parser.parse_args()
    args.out = args.out.absolute()
    return args


def main() -> None:
    """Make faults, run tests, and say how many were caught."""
    args = parse_args()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    for name in ('mmlabelpenet', *PRELOADED):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmlabelpenet']:
        del sys.modules[name]  # forks import it anew
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
    named = [f'{start}{part}{end}' for part in args.parts for start in ('tests/test_', 'mmlabelpenet/') for end in ('', '.py')]
    tests = [test for test in (*named, 'tests/test_apis') if (ROOT / test).exists()]
    sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *tests], plugins=[failures, Server(args, faults, failures)]))


if __name__ == '__main__':
    main()
