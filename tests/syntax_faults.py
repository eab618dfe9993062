"""Faults of a module, as changes to its syntax tree."""

import ast
import builtins
import copy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.BitAnd: ast.BitOr}
OPERATORS |= {ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And, ast.Mod: ast.FloorDiv}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARISONS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}


def changes(tree: ast.Module) -> list[tuple[ast.AST, ast.AST]]:
    """Nodes of a module and their possible replacements; strings, annotations and decorators are not changed."""
    found: list[tuple[ast.AST, ast.AST]] = []
    passed = {id(part) for node in ast.walk(tree) for part in _not_behaviour(node) for part in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) not in passed:
            found += [(node, other) for other in _others(node) if ast.dump(other) != ast.dump(node)]
    return found


def _not_behaviour(node: ast.AST) -> list[ast.AST]:
    parts = [getattr(node, name, None) for name in ('annotation', 'returns')]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        parts += node.decorator_list
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom) or _is_type(node):
        parts.append(node)
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('print_log', 'timed', 'warn', 'warn_once'):
        parts.append(node)
    return [part for part in parts if part is not None]


def _is_type(node: ast.AST) -> bool:
    """Whether a node is a union of types, such as ``int | str``."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and any(hasattr(builtins, name.id) for name in names)


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


def faulty(path: Path, number: int) -> tuple[str, str, int]:
    """The source with the change of this index, a description of it, and its line in the original source."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    node, other = changes(tree)[number]
    text = f'{path.relative_to(ROOT)}:{node.lineno}: {_line(node)}  ->  {_line(other)}'

    class Replace(ast.NodeTransformer):
        def visit(self, each: ast.AST) -> ast.AST:
            return ast.copy_location(other, node) if each is node else self.generic_visit(each)

    return ast.unparse(ast.fix_missing_locations(Replace().visit(tree))), text, node.lineno


def _line(node: ast.AST) -> str:
    return ' '.join(ast.unparse(node).split())[:90]
