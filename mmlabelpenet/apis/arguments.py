"""Find the arguments that a class or function accepts, including those that it passes on."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

_PLAIN = {bool, int, float, str, type(None)}


@cache
def arguments(target: Callable) -> tuple[tuple[str, ...], bool]:
    """Names of the arguments, and whether any other argument is accepted too.

    ``**kwargs`` are followed to their destination: the constructor of the next base, another class or function, ``kwargs.get('name')``, or
    nowhere. If they are kept or go elsewhere, any argument is accepted. If they go nowhere, the arguments of the bases are accepted and
    ignored, as configs of MMDetection's Mask2Former require.

    >>> class First:
    ...     def __init__(self, a, b=1): ...
    >>> arguments(First), arguments(dict)
    ((('a', 'b'), False), ((), True))
    """
    if not inspect.isclass(target):
        return _arguments([target])
    if hasattr(target, '__struct_fields__'):
        return target.__struct_fields__, False
    inits = [vars(base)['__init__'] for base in inspect.getmro(target) if '__init__' in vars(base) and base is not object]
    found, anything = _arguments(inits)
    kept = _kept(target) if anything else None
    return (tuple(dict.fromkeys((*found, *arguments(kept)[0]))), arguments(kept)[1]) if kept else (found, anything)


@cache
def dict_arguments(target: Callable) -> frozenset[str]:
    """Names of the arguments annotated as a dict or None; the nearest constructor in the MRO decides.

    >>> class First:
    ...     def __init__(self, a: dict, b: dict | list, c: dict | None = None, d: int = 1): ...
    >>> sorted(dict_arguments(First))
    ['a', 'c']
    """
    steps = inspect.getmro(target) if inspect.isclass(target) else (target,)
    hints: dict[str, Any] = {}
    for step in (vars(base).get('__init__') if inspect.isclass(base) else base for base in steps):
        try:
            hints = get_type_hints(step) | hints if step else hints
        except (NameError, TypeError, AttributeError):  # names imported only for type checkers
            continue
    return frozenset(name for name, hint in hints.items() if _is_dict(hint))


class ListOf(NamedTuple):
    """A list or tuple whose items have one of these types; any items if there are none."""

    kinds: tuple[type, ...]


@cache
def plain_arguments(target: Callable) -> Mapping[str, tuple[type | ListOf, ...]]:
    """Types of the arguments annotated as bool, number, str, path, None or a list in this package, whose annotations are exact.

    >>> from mmlabelpenet.models.aspp import LabelPEASPP
    >>> plain_arguments(LabelPEASPP)['out_channels'], plain_arguments(LabelPEASPP)['dilations']
    ((<class 'int'>,), (ListOf(kinds=(<class 'int'>,)),))
    """
    is_class = inspect.isclass(target) and not hasattr(target, '__struct_fields__')
    steps = [base for base in inspect.getmro(target) if '__init__' in vars(base)] if is_class else [target]
    found: dict[str, tuple[type | ListOf, ...]] = {}
    for step in steps:
        if not step.__module__.startswith('mmlabelpenet.'):
            break  # it may accept anything
        for name, hint in get_type_hints(step.__init__ if is_class else step).items():
            found.setdefault(name, _kinds(hint))
    return {name: kinds for name, kinds in found.items() if kinds and name != 'return'}


def _kinds(hint: Any) -> tuple[type | ListOf, ...]:
    """Types of an annotation for :func:`plain_arguments`; empty if it allows others."""
    found: list[type | ListOf] = []
    for member in _members(hint):
        if (get_origin(member) or member) in (list, tuple, Sequence):
            items = [kind for item in get_args(member) if item is not ... for kind in _members(item)]
            found.append(ListOf(tuple(items) if set(items) <= _PLAIN else ()))
        elif member in _PLAIN or member is Path:
            found.append(str if member is Path else member)
        else:
            return ()
    return tuple(dict.fromkeys(found))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def fits(value: Any, kinds: tuple[type | ListOf, ...]) -> bool:
    """Whether a value has one of the types of :func:`plain_arguments`: an int is also a float, a bool is not a number.

    >>> fits(1, (float,)), fits(True, (int,)), fits('false', (bool,)), fits(float('nan'), (float,)), fits((1, 'a'), (ListOf((int,)),))
    (True, False, False, False, False)
    """
    if isinstance(value, list | tuple):
        return any(not kind.kinds or all(fits(item, kind.kinds) for item in value) for kind in kinds if isinstance(kind, ListOf))
    return value == value and (type(value) in kinds or (type(value) is int and float in kinds))


def _is_dict(hint: Any) -> bool:
    """Whether a config value must be a dict or None to match an annotation; configs contain no built objects."""
    members = [get_origin(member) or member for member in _members(hint)]
    dicts = [member for member in members if inspect.isclass(member) and issubclass(member, Mapping)]
    plain = (str, int, float, bool, Sequence, Set, Callable, type, object)
    return bool(dicts) and not any(
        member in plain or not inspect.isclass(member) or issubclass(member, (list, tuple)) for member in members
    )


def _kept(target: type) -> Callable | None:
    """The class or function to which a class later passes the arguments that it keeps."""
    from mmcv.transforms import RandomChoiceResize
    from mmdet.datasets.transforms import Resize
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import Runner

    return next(
        (later for base, later in ((CheckpointHook, Runner.save_checkpoint), (RandomChoiceResize, Resize)) if issubclass(target, base)),
        None,
    )


def _arguments(steps: list[Callable]) -> tuple[tuple[str, ...], bool]:
    """Arguments of the first step; the following steps are the constructors of the bases, in turn."""
    if not steps:
        return (), False
    try:
        parameters = list(inspect.signature(steps[0]).parameters.values())
    except ValueError:  # implemented in C
        return (), True
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != 'self']
    extra = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    if extra is None:
        return tuple(names), False
    anything = False
    for use in [*_uses(steps[0], extra)] or ['super']:
        if callable(use) or use == 'super':
            found, more = arguments(use) if callable(use) else _arguments(steps[1:])
            names, anything = [*names, *found], anything or more
        elif use == 'kept':
            anything = True
        else:
            names.append(use)
    return tuple(dict.fromkeys(names)), anything


def _uses(step: Callable, extra: str) -> Iterator[Callable | str]:
    """The destinations of a function's ``**extra``.

    Yields:
        ``'super'`` (the next base), a class or function, ``'kept'`` if it cannot be followed, or the name of a single argument.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(step)))
    except (OSError, TypeError, SyntaxError):
        yield 'kept'
        return
    uses: set[ast.expr] = {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == extra}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in ('get', 'pop', 'setdefault') and node.func.value in uses:
                uses.discard(node.func.value)
                yield _constant(node.args[0])
            for word in node.keywords:
                if word.arg is None and word.value in uses:
                    uses.discard(word.value)
                    yield _callee(step, node.func)
        elif isinstance(node, ast.Subscript) and node.value in uses:
            uses.discard(node.value)
            yield _constant(node.slice)
        elif isinstance(node, ast.Compare) and node.comparators[0] in uses:  # 'name' in kwargs
            uses.discard(node.comparators[0])
            yield _constant(node.left)
    if uses:
        yield 'kept'


def _constant(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else 'kept'


def _callee(step: Callable, func: ast.expr) -> Callable | str:
    if isinstance(func, ast.Attribute) and func.attr == '__init__':
        return 'super'
    found = inspect.unwrap(step).__globals__.get(func.id) if isinstance(func, ast.Name) else None
    return found if callable(found) else 'kept'
