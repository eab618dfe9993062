"""How many random faults in the method the default tests catch: python tests/mutation.py --faults 500 --seed 0.

A fault is one change in a syntax tree: another operator or comparison, another number, a negated condition, a statement left out,
arguments swapped or left out. One process imports and collects everything; it first runs each test once and notes which functions it
calls, also in processes that it forks. Then each fault runs in a fork of that process, with its code in place of the sound one and those
tests that call the function, the mirrored ones first and the quick ones before the slow. Where a fault is outside of a function, the fork
is one that has not imported the package, and imports the faulty module. Survivors are written with file, line and change. Those that
cannot change a result (a message, a type, a default that every caller gives) are to be told apart by hand; each other one needs a test.
"""

import argparse
import ast
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import mmap
import os
import random
import resource
import signal
import sys
import threading
import time
from collections import Counter
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from syntax_faults import ROOT, changes, faulty

FOLDERS = ('calibration', 'models', 'engine', 'datasets', 'evaluation', 'formats')
PRELOADED = (
    'torch', 'torchvision', 'cv2', 'mmengine.runner', 'mmcv', 'mmcv.ops', 'mmdet.models', 'mmdet.datasets', 'scipy.io', 'pandas',
)  # fmt: skip


class Finder(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a given source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        importlib.machinery.SourceFileLoader.__init__(self, name, str(path))
        self.source = source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name: str) -> object:
        return compile(self.source, self.path, 'exec')


def functions(code: CodeType) -> dict[str, CodeType]:
    """Code of a module's functions and methods by qualified name; of several with one name the last."""
    found = {}
    for part in code.co_consts:
        if isinstance(part, CodeType):
            found |= {part.co_qualname: part, **functions(part)}
    return found


def holder(path: Path, line: int, source: str) -> str | None:
    """The outermost function around a line whose body, not whose defaults or decorators, the line is in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.Module):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.body[0].lineno <= line <= inner.end_lineno:
                    return inner.name if isinstance(node, ast.Module) else f'{node.name}.{inner.name}'
    return None


def put_in_place(path: Path, name: str, source: str) -> bool:
    """Give the loaded functions of this name the code of another source; whether that was possible."""
    code = functions(compile(source, path, 'exec')).get(name)
    mine = [f for f in gc.get_objects() if isinstance(f, FunctionType) and f.__code__.co_filename == str(path)]
    mine = [f for f in mine if f.__code__.co_qualname == name]
    try:
        for function in mine:
            function.__code__ = code
    except (TypeError, ValueError):  # other variables of an outer function
        return False
    for cache in gc.get_objects():
        if isinstance(cache, _lru_cache_wrapper) and str(cache.__module__).startswith('mmlabelpenet'):
            cache.cache_clear()
    return bool(mine)


class Watch:
    """Which functions of the package are called: a byte for each, shared with forked processes."""

    def __init__(self) -> None:
        paths = sorted(path for folder in FOLDERS for path in (ROOT / 'mmlabelpenet' / folder).rglob('*.py'))
        self.names = [(str(path), name) for path in paths for name in functions(compile(path.read_text(), path, 'exec'))]
        self.numbers = {place: number for number, place in enumerate(self.names)}
        self.called = mmap.mmap(-1, len(self.names))
        self.files = {str(path) for path in paths}

    def __enter__(self) -> None:
        self.called[:] = bytes(len(self.names))
        threading.settrace(self._note)
        sys.settrace(self._note)

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _note(self, frame: object, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename in self.files and (number := self.numbers.get((code.co_filename, code.co_qualname))) is not None:
            self.called[number] = 1

    def found(self) -> list[list[str]]:
        return [list(self.names[number]) for number, byte in enumerate(self.called[:]) if byte]


class Server:
    """In pytest's place after collection: notes what tests call, then runs faults."""

    def __init__(self, args: argparse.Namespace, faults: list[tuple[Path, int]]) -> None:
        self.args, self.faults, self.failed = args, faults, False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        notes = self.args.out.with_suffix('.calls.jsonl')
        if in_fork(lambda: self._note_calls(notes), 10_000) != 0:
            raise SystemExit(f'The calls of tests could not be noted in {notes}.')
        lines = [json.loads(line) for line in notes.read_text().splitlines()]
        self.calls = [line for line in lines if line['sound'] and line['test'] in self.items]
        self._run([next(item.nodeid for item in session.items if '_toy_batch' in item.fixturenames)])  # makes what belongs to the session
        self._try_faults()
        return True

    def _run(self, tests: list[str]) -> bool:
        """Whether one of some tests fails; those after it do not run, and what belongs to the session stays."""
        self.failed, items = False, [self.items[test] for test in tests]
        items[0].session._setupstate.teardown_exact(items[0])
        for item, after in zip(items, [*items[1:], next(iter(self.items.values()))]):
            item._initrequest()  # it may have run before
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.failed:
                break
        return self.failed

    def _note_calls(self, notes: Path) -> int:
        known = {json.loads(line)['test'] for line in notes.read_text().splitlines()} if notes.is_file() else set()
        watch, items = Watch(), [item for item in self.items.values() if item.nodeid not in known]
        for item, after in zip(items, [*items[1:], None]):
            begin, self.failed = time.process_time(), False
            with watch:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            line = dict(test=item.nodeid, seconds=time.process_time() - begin, sound=not self.failed, calls=watch.found())
            with notes.open('a') as file:
                file.write(json.dumps(line) + '\n')
        return 0

    def _try_faults(self) -> None:
        known = [json.loads(line) for line in self.args.out.read_text().splitlines()] if self.args.out.is_file() else []
        caught = Counter(entry['caught'] for entry in known)
        for path, number in self.faults[len(known) :]:
            source, text, line = faulty(path, number)
            begin = time.process_time(), time.monotonic()
            name = holder(path, line, path.read_text(encoding='utf-8'))
            tests = self._tests(path, name)
            found = bool(tests) and self._in_fork(path, name, source, tests)
            with self.args.out.open('a') as file:
                seconds = round(time.monotonic() - begin[1], 1)
                file.write(json.dumps(dict(fault=text, caught=found, tests=len(tests), seconds=seconds)) + '\n')
            caught[found] += 1
            sys.__stdout__.write(f'{caught[True]} of {caught.total()} caught; {"caught" if found else "SURVIVES"}: {text}\n')
            sys.__stdout__.flush()

    def _tests(self, path: Path, name: str | None) -> list[str]:
        """Tests that call a function, or any of a module, as many as fit into the time: mirrored ones first, quick ones before slow."""
        parts = path.relative_to(ROOT / 'mmlabelpenet').with_suffix('').parts
        mirror = '/'.join(('tests', *(f'test_{part}' for part in parts))) + '.py', str(path.relative_to(ROOT))
        fit = [line for line in self.calls if any(file == str(path) and name in (None, its) for file, its in line['calls'])]
        fit.sort(key=lambda line: (not line['test'].startswith(mirror), line['seconds']))
        chosen, total = [], 0.0
        for line in fit:
            total += line['seconds']
            if total < self.args.seconds or not chosen:
                chosen.append(line['test'])
        return chosen

    def _in_fork(self, path: Path, name: str | None, source: str, tests: list[str]) -> bool:
        def run() -> int:
            if name is None or not put_in_place(path, name, source):
                return 99
            return int(self._run(tests))

        status = in_fork(run, self.args.seconds)
        if status == 99:  # to be imported anew
            os.write(self.args.ask, (json.dumps([str(path), source, tests]) + '\n').encode())
            status = int(self.args.answer.readline())
        return status != 0


def in_fork(run: object, seconds: float) -> int:
    """Exit status of a forked process; 1 where it hangs."""
    process = os.fork()
    if process == 0:
        os.setsid()
        sink = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(sink, number)
        resource.setrlimit(resource.RLIMIT_CPU, (int(4 * seconds + 30),) * 2)
        try:
            os._exit(run())
        finally:
            os._exit(1)
    end = time.monotonic() + 20 * seconds
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.02)
    if ended == (0, 0):
        os.killpg(process, signal.SIGKILL)
        ended = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(ended[1])


def serve_imports(questions: object, answer: int, seconds: float) -> None:
    """Run tests with a faulty module, in forks of this process, which has not imported the package."""
    for line in questions:
        path, source, tests = json.loads(line)

        def run(path: Path = Path(path), source: str = source, tests: list[str] = tests) -> int:
            sys.meta_path.insert(0, Finder('.'.join(path.relative_to(ROOT).with_suffix('').parts), path, source))
            return int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests])) != 0

        os.write(answer, f'{in_fork(run, seconds)}\n'.encode())


def main() -> None:
    """Make faults, run tests, and say how many were caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folders', nargs='+', choices=FOLDERS, default=FOLDERS, help='of the package, and their tests (default: all)')
    parser.add_argument('--seconds', type=float, default=60, help='of tests that run for one fault (default: 60)')
    parser.add_argument(
        '--out', type=Path, default=Path('mutation.jsonl'), help='a line for each fault; those that stand there are not run again'
    )
    args = parser.parse_args()
    args.out = args.out.absolute()
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    for name in ('mmlabelpenet', *PRELOADED):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmlabelpenet']:
        del sys.modules[name]  # forks import it anew
    paths = sorted(path for folder in args.folders for path in (ROOT / 'mmlabelpenet' / folder).rglob('*.py'))
    places = [(path, number) for path in paths for number in range(len(changes(ast.parse(path.read_text(encoding='utf-8')))))]
    faults = random.Random(args.seed).sample(places, min(args.faults, len(places)))
    (read_question, args.ask), (read_answer, answer) = os.pipe(), os.pipe()
    args.answer = os.fdopen(read_answer)
    if os.fork() == 0:
        os.close(args.ask)
        serve_imports(os.fdopen(read_question), answer, args.seconds)
        os._exit(0)
    tests = [f'{start}{folder}' for folder in args.folders for start in ('tests/test_', 'mmlabelpenet/')]
    sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *tests], plugins=[Server(args, faults)]))


if __name__ == '__main__':
    main()
