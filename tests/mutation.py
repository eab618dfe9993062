"""How many random faults in the method the tests catch: python tests/mutation.py --faults 500 --seed 0.

A fault is one change in a syntax tree: another operator or comparison, another number, a negated condition, a statement left out,
arguments swapped or left out. Each runs in a fork of a process that has imported PyTorch and MMDetection once: first the tests that mirror
the faulty file, then those that are listed with its folder. Survivors are written with file, line and change. Those that cannot change a
result (a message, a type, a default that every caller gives) are to be told apart by hand; each of the others needs a test.
"""

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('calibration', 'models', 'engine', 'datasets', 'evaluation')
WIDER = dict(  # what else may notice a fault in a folder, after the mirrored test
    calibration=['tests/test_calibration', 'tests/test_engine/test_loops.py'],
    models=['tests/test_models', 'tests/test_engine/test_loops.py'],
    engine=['tests/test_engine', 'tests/test_apis/test_train.py'],
    datasets=['tests/test_datasets', 'tests/test_engine/test_label_pass.py', 'tests/test_workbench/test_exports'],
    evaluation=['tests/test_evaluation', 'tests/test_apis/test_test_command.py'],
)
PRELOADED = (
    'torch',
    'torchvision',
    'cv2',
    'mmengine.runner',
    'mmcv',
    'mmcv.ops',
    'mmdet.models',
    'mmdet.datasets',
    'scipy.io',
    'pandas',
    'pytest',
)
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr}
OPERATORS |= {ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And, ast.Mod: ast.FloorDiv}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}


def changes(tree: ast.Module) -> list[tuple[ast.AST, ast.AST]]:
    """Nodes of a module with what may stand in their place; texts, annotations and decorators are left alone."""
    found: list[tuple[ast.AST, ast.AST]] = []
    passed = {id(part) for node in ast.walk(tree) for part in _not_behaviour(node) for part in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) not in passed:
            found += [(node, other) for other in _others(node)]
    return found


def _not_behaviour(node: ast.AST) -> list[ast.AST]:
    parts = [getattr(node, name, None) for name in ('annotation', 'returns')]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        parts += node.decorator_list
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        parts.append(node)
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('print_log', 'timed'):
        parts.append(node)
    return [part for part in parts if part is not None]


def _others(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
        return [_with(node, op=OPERATORS[type(node.op)]())]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        return [_with(node, ops=[COMPARISONS[type(node.ops[0])](), *node.ops[1:]])]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        other = not node.value if isinstance(node.value, bool) else node.value + 1
        return [_with(node, value=other)]
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return [_with(node, test=ast.UnaryOp(ast.Not(), node.test))]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        return [node.operand]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) or isinstance(node, ast.AugAssign):
        return [ast.Pass()]
    if isinstance(node, ast.Call) and len(node.args) > 1 and not any(isinstance(argument, ast.Starred) for argument in node.args):
        return [_with(node, args=[*node.args[1::-1], *node.args[2:]])]
    return [_with(node, keywords=node.keywords[1:])] if isinstance(node, ast.Call) and node.keywords else []


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def faulty(path: Path, number: int) -> tuple[str, str]:
    """The source with its change of this number, and a line that tells of it."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    node, other = changes(tree)[number]
    text = f'{path.relative_to(ROOT)}:{node.lineno}: {_line(node)}  ->  {_line(other)}'

    class Replace(ast.NodeTransformer):
        def visit(self, each: ast.AST) -> ast.AST:
            return ast.copy_location(other, node) if each is node else self.generic_visit(each)

    return ast.unparse(ast.fix_missing_locations(Replace().visit(tree))), text


def _line(node: ast.AST) -> str:
    return ' '.join(ast.unparse(node).split())[:90]


class Finder(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a given source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        importlib.machinery.SourceFileLoader.__init__(self, name, str(path))
        self.source = source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name: str) -> object:
        return compile(self.source, self.path, 'exec')


def run(path: Path, source: str | None, tests: list[str], seconds: float) -> bool:
    """Whether tests fail, or take too long, with this source in place of a module's."""
    process = os.fork()
    if process == 0:
        os.setsid()
        sink = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(sink, number)
        if source is not None:
            sys.meta_path.insert(0, Finder('.'.join(path.relative_to(ROOT).with_suffix('').parts), path, source))
        import pytest

        sys.path.insert(0, str(ROOT))
        os._exit(int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests])))
    end = time.monotonic() + seconds
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return True
        time.sleep(0.05)
    return os.waitstatus_to_exitcode(ended[1]) not in (0, 5)  # 5: no test was collected


def mirror(path: Path) -> list[str]:
    """The test file of a module, and the module itself for its examples."""
    parts = path.relative_to(ROOT / 'mmlabelpenet').parts
    test = ROOT.joinpath('tests', *(f'test_{part}' for part in parts))
    return [*([str(test)] if test.is_file() else []), str(path)]


def main() -> None:
    """Make faults, run tests, and say how many were caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--faults', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=300, help='for the tests of one fault (default: 300)')
    parser.add_argument(
        '--out', type=Path, default=Path('mutation.jsonl'), help='a line for each fault; those that stand there are not run again'
    )
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import mmlabelpenet

    for name in PRELOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split('.')[0] == mmlabelpenet.__name__]:
        del sys.modules[name]  # each fork imports it anew
    os.chdir(ROOT)
    paths = sorted(path for folder in FOLDERS for path in (ROOT / 'mmlabelpenet' / folder).rglob('*.py'))
    places = [(path, number) for path in paths for number in range(len(changes(ast.parse(path.read_text(encoding='utf-8')))))]
    chosen = random.Random(args.seed).sample(places, min(args.faults, len(places)))
    known = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
    caught = Counter(entry['caught'] for entry in known)
    for path, number in chosen[len(known) :]:
        source, text = faulty(path, number)
        folder = path.relative_to(ROOT / 'mmlabelpenet').parts[0]
        found = next((tests for tests in (mirror(path), WIDER[folder]) if run(path, source, tests, args.seconds)), None)
        with args.out.open('a') as file:
            file.write(json.dumps(dict(fault=text, caught=found is not None)) + '\n')
        caught[found is not None] += 1
        sys.stdout.write(f'{caught[True]} of {caught.total()} caught; {"caught" if found else "SURVIVES"}: {text}\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
