"""Places where configs need dicts, and errors for other values there."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmlabelpenet.apis.arguments import dict_arguments
from mmlabelpenet.apis.config_files import config_files, place_of_key, place_of_text
from mmlabelpenet.files import shown
from mmlabelpenet.schema import short

KeyPath = tuple[str | int, ...]
DICTS = re.compile(  # where a dict is required, besides the arguments annotated as dict
    r'\w+_(dataloader|cfg)(\.(dataset|sampler|batch_sampler|collate_fn))?|.*\.dataset\.metainfo|env_cfg\.\w+_cfg'
    r'|auto_scale_lr|custom_imports|data_sources|log_processor|model|randomness|visualizer|default_hooks(\.\w+)?|tta(\.model)?'
    r'|optim_wrapper(\.(clip_grad|optimizer|paramwise_cfg(\.custom_keys)?))?|train_cfg\.phases(\.\w+)?|model\.stages(\.\w+(\.(detector|labels))?)?'
    r'|model\.stages\.\w+\.detector\.(backbone|rpn_head|roi_head|train_cfg|test_cfg|roi_head\.(bbox|mask)_(head|roi_extractor)'
    r'|(train|test)_cfg\.(rpn|rpn_proposal|rcnn)(\.(assigner|sampler|nms))?)'
)
LISTS = re.compile(r'(.*\.)?(init_cfg|vis_backends)|param_scheduler|\w+_evaluator')  # a dict or a list of dicts
STEPS = re.compile(r'(.*\.)?pipeline|custom_hooks')  # a list of dicts


@dataclass(frozen=True)
class Fault:
    """An error in a config: ``path`` of the key, ``what`` is wrong, how to find its line: ``beside`` which keys, or by ``text``."""

    path: KeyPath
    what: str
    beside: tuple[str, ...] = ()
    text: str = ''

    def place(self, files: Sequence[Path]) -> str:
        """``file:line`` of the error in the first file that contains it; empty if none does (a command-line option)."""
        return place_of_text(files, self.text) if self.text else place_of_key(files, str(self.path[-1]), self.beside)


def refuse(config: Config, faults: Iterable[Fault]) -> None:
    """Raise a ValueError with one line per key, with file and line if the error is in one of our files, or ``--cfg-options``."""
    lines, told, options = [], set[str](), vars(config).get('_options', ())
    for fault in faults:
        key, name = '.'.join(map(str, fault.path)), shown(Path(config.filename)) if config.filename else ''
        if key in told:
            continue
        told.add(key)
        given = any(f'{key}.'.startswith(f'{option}.') for option in options)
        own = '--cfg-options' if given else fault.place(own_files(config))
        if own or not fault.place(all_files(config)):  # configs of other packages are not checked
            lines.append(f'{own or name}{": " if own or name else ""}{key}: {fault.what}')
    if lines:
        raise ValueError('\n'.join(lines))


def own_files(config: Config) -> list[Path]:
    """The files that a config was read from, without those of other packages."""
    return [file for file in all_files(config) if '.mim' not in file.parts]


def all_files(config: Config) -> list[Path]:
    """The files that a config was read from, itself first; empty if it was not read from one."""
    return config_files(config.filename) if config.filename and Path(config.filename).is_file() else []


def not_dicts(content: Mapping[str, Any], find: Callable[[str, str | None], Callable | None] | None = None) -> Iterator[Fault]:
    """Other values where a dict or a list of dicts is required: at the places of ``DICTS``, ``LISTS`` and ``STEPS``, and where
    annotations require one.

    A list of dicts passes if another package's annotation requires a dict, because such annotations are not exact.

    Args:
        find: the class or function of a ``type`` in a scope; None ignores annotations, which would require importing everything.
    """
    for path, node, scope in dicts_within(content):
        kind = node.get('type')
        target = find(kind, scope) if find and isinstance(kind, str) else None
        typed = dict_arguments(target) if target else ()
        for key, value in node.items():
            place = '.'.join(map(str, (*path, key)))
            dicts = isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
            lists, steps = LISTS.fullmatch(place), STEPS.fullmatch(place)
            inexact = key in typed and not target.__module__.startswith('mmlabelpenet.')
            if value is None or (isinstance(value, Mapping) and not steps):
                continue
            if dicts and (lists or steps or inexact) and not DICTS.fullmatch(place):
                continue
            if lists or steps or key in typed or DICTS.fullmatch(place):
                wanted = 'a list of dicts' if steps else f'a dict{" or a list of dicts" if lists else ""}'
                yield Fault((*path, key), f'expected {wanted}, got {short(value)}.', tuple(node) if path else ())


def without_dataset(content: Mapping[str, Any]) -> Iterator[Fault]:
    """Data loaders whose data set is None or empty."""
    for key, loader in content.items():
        if key.endswith('_dataloader') and isinstance(loader, Mapping) and not loader.get('dataset', True):
            yield Fault((key, 'dataset'), f'expected a dict with a type, got {short(loader["dataset"])}.', tuple(loader))


def dicts_within(value: Any, path: KeyPath = (), scope: str | None = None) -> Iterator[tuple[KeyPath, Mapping[str, Any], str | None]]:
    """All dicts in a value with their paths and the scope that a base of another package gives them."""
    if isinstance(value, Mapping):
        scope = value.get('_scope_', scope)
        yield path, value, scope
        for key, inner in value.items():
            if str(value.get('type')).rpartition('.')[2] != 'Albu':  # its steps belong to another package
                yield from dicts_within(inner, (*path, key), scope)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from dicts_within(inner, (*path, index), scope)
