"""Where configs have dicts, and what is said where they have something else."""

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
DICTS = re.compile(  # where a dict belongs, beside the arguments that are annotated so
    r'\w+_(dataloader|cfg)(\.(dataset|sampler|batch_sampler|collate_fn))?|.*\.dataset\.metainfo|env_cfg\.\w+_cfg'
    r'|auto_scale_lr|custom_imports|data_sources|log_processor|model|randomness|visualizer|default_hooks(\.\w+)?|tta(\.model)?'
    r'|optim_wrapper(\.(clip_grad|optimizer))?|train_cfg\.phases(\.\w+)?|model\.stages(\.\w+(\.(detector|labels))?)?'
    r'|model\.stages\.\w+\.detector\.(backbone|rpn_head|roi_head|train_cfg|test_cfg|roi_head\.(bbox|mask)_(head|roi_extractor)'
    r'|(train|test)_cfg\.(rpn|rpn_proposal|rcnn)(\.(assigner|sampler|nms))?)'
)
LISTS = re.compile(r'(.*\.)?(init_cfg|pipeline|vis_backends)|custom_hooks|param_scheduler|\w+_evaluator')  # a dict or a list of dicts


@dataclass(frozen=True)
class Fault:
    """Something wrong in a config: ``path`` of the key, ``what``, and how to find it: ``beside`` which keys, or by which ``text``."""

    path: KeyPath
    what: str
    beside: tuple[str, ...] = ()
    text: str = ''

    def place(self, files: Sequence[Path]) -> str:
        """``file:line`` of the fault in the first of the files that has it; empty if none has (an option of the command line)."""
        return place_of_text(files, self.text) if self.text else place_of_key(files, str(self.path[-1]), self.beside)


def refuse(config: Config, faults: Iterable[Fault]) -> None:
    """Raise a ValueError with a line for each fault of a config, with file and line where a file of ours has it."""
    lines = []
    for fault in faults:
        own, name = fault.place(own_files(config)), shown(Path(config.filename)) if config.filename else ''
        if own or not fault.place(all_files(config)):  # what another package says is its own business
            lines.append(f'{own or name}{": " if own or name else ""}{".".join(map(str, fault.path))}: {fault.what}')
    if lines:
        raise ValueError('\n'.join(lines))


def own_files(config: Config) -> list[Path]:
    """The files that a config was read from, without those of other packages."""
    return [file for file in all_files(config) if '.mim' not in file.parts]


def all_files(config: Config) -> list[Path]:
    """The files that a config was read from, itself first; empty if it was not read from one."""
    return config_files(config.filename) if config.filename and Path(config.filename).is_file() else []


def not_dicts(content: Mapping[str, Any], find: Callable[[str, str | None], Callable | None] | None = None) -> Iterator[Fault]:
    """Other values where a dict or a list of dicts belongs: at the places of ``DICTS`` and ``LISTS``, and where what is built says so.

    A list of dicts passes where another package's annotation says that it is a dict: theirs are not exact.

    Args:
        find: the class or function of a ``type`` in a scope; None leaves annotations out, for which everything has to be imported.
    """
    for path, node, scope in dicts_within(content):
        kind = node.get('type')
        target = find(kind, scope) if find and isinstance(kind, str) else None
        typed = dict_arguments(target) if target else ()
        for key, value in node.items():
            place = '.'.join(map(str, (*path, key)))
            dicts = isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
            lists, inexact = LISTS.fullmatch(place), key in typed and not target.__module__.startswith('mmlabelpenet.')
            if isinstance(value, Mapping | None) or (dicts and (lists or inexact) and not DICTS.fullmatch(place)):
                continue
            if lists or key in typed or DICTS.fullmatch(place):
                yield Fault(
                    (*path, key),
                    f'expected a dict{" or a list of dicts" if lists else ""}, got {short(value)}.',
                    tuple(node) if path else (),
                )


def dicts_within(value: Any, path: KeyPath = (), scope: str | None = None) -> Iterator[tuple[KeyPath, Mapping[str, Any], str | None]]:
    """All dicts in a value with the way to them and the scope that a base of another package gives them."""
    if isinstance(value, Mapping):
        scope = value.get('_scope_', scope)
        yield path, value, scope
        for key, inner in value.items():
            if str(value.get('type')).rpartition('.')[2] != 'Albu':  # its steps are those of another package
                yield from dicts_within(inner, (*path, key), scope)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from dicts_within(inner, (*path, index), scope)
