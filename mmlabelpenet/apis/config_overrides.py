"""Apply command-line overrides to a config."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config


def in_order(overrides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Options in the order in which they are applied: those that empty a dict (``_delete_``) before those that fill it.

    >>> in_order({'a.type': 'B', 'a._delete_': True})
    [('a', {'_delete_': True}), ('a.type', 'B')]
    """
    deletes = [key for key, value in overrides.items() if value is True and key.endswith('._delete_')]
    emptied = [(key.removesuffix('._delete_'), dict(_delete_=True)) for key in deletes]
    return [*emptied, *((key, value) for key, value in overrides.items() if key not in deletes)]


def overridden(node: Any, steps: Sequence[str], value: Any) -> Any:
    """A part of a config with one value replaced; dicts are merged. Unlike mmengine's merge, it also descends into lists and tuples.

    Raises:
        IndexError: a step is not an index of its list.
        TypeError: the value is of another kind than the one it replaces, or a step leads into something other than a dict or a list.

    >>> overridden(dict(a=[1, dict(b=2)]), ['a', '1', 'b'], 3)
    {'a': [1, {'b': 3}]}
    """
    if not steps:
        if isinstance(node, bool | int | float) and not _replaces(value, node):
            raise TypeError(f'expected {"true or false" if isinstance(node, bool) else "a number"} instead of {node!r}')
        if isinstance(node, int) and isinstance(value, float) and value.is_integer():
            return int(value)  # 1e3 is as good as 1000
        dicts = isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
        if isinstance(node, Mapping) and not isinstance(value, Mapping | None) and not dicts:
            raise TypeError(f'expected a dict or null instead of a dict with {", ".join(map(str, node)) or "no keys"}')
        if node is None or not isinstance(value, Mapping):
            return value
        merged = Config(dict(value=node))
        merged.merge_from_dict(dict(value=value))
        return merged.value
    step, *rest = steps
    if isinstance(node, list | tuple):
        if not step.isdigit() or int(step) >= len(node):
            raise IndexError(f'{step!r} is not an index of a list of {len(node)}')
        return type(node)(overridden(item, rest, value) if index == int(step) else item for index, item in enumerate(node))
    if not isinstance(node, Mapping):
        raise TypeError(f'{step!r} would be a key of {node!r}, which is not a dict')
    return {**node, step: overridden(node.get(step, {} if rest else None), rest, value)}


def _replaces(value: Any, node: bool | int | float) -> bool:
    """Whether a value may replace a number or a bool: not text or NaN, nor one for the other.

    A list may replace an integer, as for sizes, but not a float: ``0,01`` is not a number.
    """
    if isinstance(value, list | tuple):
        return not isinstance(node, float)
    if not isinstance(value, str | int | float):
        return True
    return not isinstance(value, str) and value == value and isinstance(value, bool) == isinstance(node, bool)
