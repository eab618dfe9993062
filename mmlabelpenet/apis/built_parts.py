"""Errors of constructors that name the part of the config."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.registry import build_from_cfg

from mmlabelpenet.apis.config_dicts import KeyPath, dicts_within
from mmlabelpenet.schema import reason
from mmlabelpenet.terminal import is_out_of_memory, is_told


@contextmanager
def named_parts(config: Config) -> Iterator[None]:
    """Turn errors that constructors of other packages raise while parts of a config are built into a ValueError that names the part.

    Errors about files, those that this package raises deliberately, and those of a running training pass.
    """
    try:
        yield
    except (OSError, ImportError, FloatingPointError):
        raise
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        nodes = [frame.f_locals['cfg'] for frame in frames if frame.f_code is build_from_cfg.__code__]
        nodes = [node for node in nodes if isinstance(node, Mapping) and node.get('type')]
        if not nodes or is_told(error) or is_out_of_memory(error):
            raise
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        line = traceback.extract_tb(error.__traceback__)[-1].line
        key, name = '.'.join(map(str, place_of_part(config.to_dict(), nodes))), getattr(nodes[-1]['type'], '__name__', nodes[-1]['type'])
        raise ValueError(f'{key}{": " if key else ""}{name} cannot be built: {kind}{reason(error) if str(error) else line}') from error


def place_of_part(content: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> KeyPath:
    """Path of the last of nested parts in a config; parts that the config does not contain in this form are skipped.

    Args:
        content: the config.
        nodes: configs of the parts that were being built, outer ones first.

    >>> place_of_part(dict(model=dict(type='A', head=dict(type='B', n=1), neck=dict(type='B', n=2))), [dict(type='A'), dict(type='B', n=2)])
    ('model', 'neck')
    """
    path: KeyPath = ()
    for node in nodes:
        alike = [(place, part) for place, part, _ in dicts_within(content) if part.get('type') == node['type']]
        inside = [(place, part) for place, part in alike if place[: len(path)] == path and place != path] or alike
        path = max(inside, key=lambda found: sum(node.get(key) == value for key, value in found[1].items()), default=(path, {}))[0]
    return path
