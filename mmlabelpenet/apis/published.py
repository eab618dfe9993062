"""Publish, inspect and convert checkpoints.

Every file written here contains only tensors and plain Python values, so ``torch.load(file, weights_only=True)`` can read it.
"""

import ast
import copy
import hashlib
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from mmengine.config import Config
from torch import Tensor

from mmlabelpenet.apis.checkpoint import OLD_NAME, load_strictly, named_classes, read_checkpoint, read_state
from mmlabelpenet.apis.config import build_model, config_classes, config_hash, recipe_hash, stage_names
from mmlabelpenet.apis.receipt import git_commit, package_versions
from mmlabelpenet.files import file_hash, given_path
from mmlabelpenet.schema import convert
from mmlabelpenet.tensor_files import read_tensors, save_tensors

FORMAT = 'mmlabelpenet checkpoint'
NEEDED_TO_RESUME = ('optimizer', 'param_schedulers', 'message_hub', 'ema_state_dict')


def publish(source: str | Path, folder: str | Path, stages: Sequence[str] | None = None, half: bool = False) -> Path:
    """Write a checkpoint for publication: weights, config and provenance, without the state needed for resuming.

    Args:
        source: a checkpoint written by training.
        folder: output folder; the file is named ``<stem of source>-<first 8 digits of its SHA-256>.pth``.
        stages: stages whose weights are kept, in addition to the backbone's; None keeps all.
        half: store layer weights in float16; normalisation layers are unchanged, since their variances may overflow.

    Returns:
        the path of the file. The same checkpoint gives an identical file.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is not a checkpoint, or has no such stage.
    """
    checkpoint = read_checkpoint(source)
    state, meta = checkpoint['state_dict'], checkpoint['meta'] | dict(source_sha256=file_hash(source), **_receipt())
    if stages is not None:
        held = dict.fromkeys(key.split('.')[1] for key in state if key.startswith('stages.'))
        unknown = [name for name in stages if name not in held]
        if unknown:
            raise ValueError(f'{source} has no stage {unknown[0]!r}. Expected some of {", ".join(held)}.')
        meta['stages'] = tuple(name for name in held if name in stages)
        state = {key: value for key, value in state.items() if not key.startswith('stages.') or key.split('.')[1] in stages}
    if half:
        state = {key: value.half() if value.dtype == torch.float32 and value.ndim > 1 else value for key, value in state.items()}
    unnamed = _write(given_path(folder) / f'.{uuid.uuid4().hex}.pth', state, meta)
    target = unnamed.with_name(f'{Path(source).stem}-{file_hash(unnamed)[:8]}.pth')
    os.replace(unnamed, target)
    return target


def keep_stages(config: Config, names: Collection[str] | None) -> Config:
    """A copy of a config whose model has only these stages, as a published checkpoint may; None keeps all.

    Raises:
        ValueError: the model needs the stage that learns from tags, and it is not among them.

    >>> stages = dict(classification=dict(), detection=dict())
    >>> stage_names(keep_stages(Config(dict(model=dict(stages=stages))), ['detection']))
    ('detection',)
    """
    config = copy.deepcopy(config)
    for name in stage_names(config) if names is not None else ():
        if name not in names:
            if config.model.stages[name].get('learns_from') == 'tags' and (key := weighs_by_tags(config)):
                raise ValueError(
                    f'The checkpoint has only {", ".join(names)}, but {key} of the config also needs {name}: publish it with --stages '
                    f'{" ".join([name, *names])}.'
                )
            config.model.stages[name] = None
    return config


def weighs_by_tags(config: Config) -> str | None:
    """The key of a model by which scores of all stages depend on the one that learns from tags; None if they do not."""
    used = {'model.map_evidence': config.model, 'model.test_cfg.image_evidence': config.model.get('test_cfg') or {}}
    return next((key for key, part in used.items() if part.get(key.rpartition('.')[2])), None)


def to_state_dict(source: str | Path, target: str | Path) -> dict[str, Tensor]:
    """Write only the tensors of a checkpoint, by name.

    Returns:
        what was written.
    """
    return _write_tensors(target, read_checkpoint(source)['state_dict'])


def from_state_dict(source: str | Path, config: Config, target: str | Path) -> Path:
    """Convert a plain state dict to a checkpoint, after checking it against the model.

    Args:
        source: tensors by name.
        config: config of the model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the tensors are not exactly those of the model; the message says what differs.
    """
    with torch.device('meta'):  # only shapes are needed
        model = build_model(config)
    checkpoint = read_checkpoint(source)
    load_strictly(model, checkpoint, assign=True)
    classes = config_classes(config.train_dataloader.dataset)
    meta = dict(cfg=config.pretty_text, dataset_meta=dict(classes=classes), source_sha256=file_hash(source))
    hashes = dict(config_sha256=config_hash(config), recipe_sha256=recipe_hash(config))
    return _write(Path(target), checkpoint['state_dict'], {**meta, **hashes, **_receipt()})


def upgrade(source: str | Path, target: str | Path) -> dict[str, Tensor]:
    """Write the tensors of a checkpoint of version 0.1 under their current names.

    Returns:
        what was written.
    """
    return _write_tensors(target, {OLD_NAME.sub(r'\1detector.\2', key): t for key, t in read_state(source)['state_dict'].items()})


def describe(path: str | Path) -> dict[str, Any]:
    """Summarise the content of a checkpoint.

    Returns:
        ``file``, ``bytes`` and ``sha256``; ``parts``: parameters and bytes of the backbone and of every stage; ``other_bytes``: size of the
        state needed only for resuming; ``iteration``, ``phase`` (of that iteration), ``seed``, ``classes``, ``experiment`` and ``config``
        (its text), if present; ``receipt``: commit and versions of a published file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint.
    """
    content, checkpoint = read_tensors(path), read_checkpoint(path)
    meta, state = checkpoint['meta'], checkpoint['state_dict']
    text = meta.get('cfg')
    others = {key: size for key in NEEDED_TO_RESUME if 'state_dict' in content and key in content and (size := _bytes(content[key]))}
    return dict(
        file=str(path),
        bytes=Path(path).stat().st_size,
        sha256=file_hash(path),
        parts={name: dict(tensors=len(part), parameters=sum(t.numel() for t in part), bytes=_bytes(part)) for name, part in _parts(state)},
        other_bytes=others,
        iteration=meta.get('iter'),
        phase=_phase_of(text, meta['iter'], path) if text and 'iter' in meta else None,
        seed=meta.get('seed'),
        classes=list(named_classes(meta) or []),
        experiment=meta.get('experiment_name'),
        config=text,
        receipt={key: meta[key] for key in ('source_sha256', 'commit', 'versions') if key in meta},
    )


def _phase_of(config_text: str, iteration: int, path: str | Path) -> str | None:
    try:
        return phase_of(config_text, iteration)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def phase_of(config_text: str, iteration: int) -> str | None:
    """The phase of an iteration, ``'finished'`` after the last; None if the config has no phases.

    The text is parsed as literals and calls of ``dict``; nothing is executed.

    Raises:
        ValueError: the text contains other code.

    >>> text = "train_cfg=dict(phases=dict(classification=dict(iters=3), recurrent=dict(iters=2)))"
    >>> phase_of(text, 2), phase_of(text, 3), phase_of(text, 5)
    ('classification', 'recurrent', 'finished')
    """
    try:
        body = ast.parse(config_text).body
        found = [
            _literal(node.value) for node in body if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == 'train_cfg'
        ]
        phases = convert(dict(found[-1]).get('phases') or {} if found else {}, dict[str, _Phase | None], 'its phases are malformed')
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f'The config text of the checkpoint is malformed: {" ".join(str(error).split())[:200]}.') from error
    named = [(name, phase) for name, phase in phases.items() if phase is not None]
    for name, phase in sorted(named, key=lambda item: item[0] == 'recurrent'):  # the last definition, wherever it is
        iteration -= phase.iters
        if iteration < 0:
            return name
    return 'finished' if named else None


class _Phase(msgspec.Struct):
    iters: int


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


def _parts(state: Mapping[str, Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    """Tensors of the backbone, of each stage, and the remaining ones, in their order."""
    found: dict[str, list[Tensor]] = {}
    for key, value in state.items():
        names = key.split('.')
        found.setdefault(names[1] if names[0] == 'stages' else names[0], []).append(value)
    return iter(found.items())


def _bytes(value: Any) -> int:
    """Total bytes of all tensors inside."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes, inner))


def _compact(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors so that their storages have exactly their size; equal tensors, as in frozen layers of several stages, share one."""
    kept: dict[tuple, Tensor] = {}
    compact = {}
    for key, value in state.items():
        copy = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        content = hashlib.sha256(copy.reshape(-1).view(torch.uint8).numpy()).digest()
        compact[key] = kept.setdefault((copy.dtype, copy.shape, content), copy)
    return compact


def _receipt() -> dict[str, Any]:
    return dict(commit=git_commit(), versions=package_versions())


def _write_tensors(target: str | Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = _compact(state)
    save_tensors(state, target)
    return state


def _write(target: Path, state: Mapping[str, Tensor], meta: dict[str, Any]) -> Path:
    save_tensors(dict(meta=dict(meta, format=FORMAT), state_dict=_compact(state)), target)
    return target
