"""Find the last complete checkpoint of a training, and load weights strictly."""

import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import nn

from mmlabelpenet.apis.run_note import read_note
from mmlabelpenet.files import given_path
from mmlabelpenet.log import warn
from mmlabelpenet.schema import convert, counted
from mmlabelpenet.tensor_files import described, differs, read_tensors

OLD_NAME = re.compile(r'(stages\.\w+\.)((?:backbone|rpn_head|roi_head)\.)')  # key names of version 0.1, in which stages were detectors


class _DatasetMeta(msgspec.Struct):
    classes: tuple[str, ...] | None = None


class _Meta(msgspec.Struct):
    """The fields that are read from a checkpoint's ``meta``."""

    iter: int | None = None
    epoch: int | None = None
    seed: int | None = None
    experiment_name: str | None = None
    cfg: str | None = None
    dataset_meta: _DatasetMeta | None = None
    source_sha256: str | None = None
    commit: str | None = None
    versions: dict[str, str] | None = None
    stages: tuple[str, ...] | None = None  # in published files with only some of the stages


Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _Place(msgspec.Struct):
    iter: Count
    epoch: Count


class _Hub(msgspec.Struct):
    log_scalars: dict[str, Any]
    runtime_info: dict[str, Any]
    resumed_keys: dict[str, Any]


class _Optimizer(msgspec.Struct):
    state: dict[Any, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class _Resumed(msgspec.Struct):
    """The entries besides the weights that mmengine needs to resume."""

    meta: _Place
    message_hub: _Hub
    optimizer: _Optimizer
    param_schedulers: list[dict[str, Any]] = []


def check_resumable(path: str | Path) -> None:
    """Reject resuming from a file with only weights: mmengine would start without momentum, or fail with a traceback.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks an entry that is needed to resume; the message names it.
    """
    todo = 'Give a checkpoint written by training, or initialise from the weights of this one (load_from).'
    convert(read_tensors(path), _Resumed, f'Training cannot be resumed from {path}', todo)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without executing code in it.

    Args:
        path: a checkpoint written by training, or a plain state dict.

    Returns:
        ``path``, ``state_dict`` (tensors by name) and ``meta`` (a dict of the known fields, possibly empty).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, or one of version 0.1.
    """
    content = read_state(path)
    if any(OLD_NAME.match(key) for key in content['state_dict']):
        raise ValueError(
            f'{path} is a checkpoint of version 0.1, whose weights have other names. Convert it: '
            f'python tools/model_converters/state_dict.py upgrade {shlex.quote(str(path))} NEW.pth'
        )
    return content


def read_state(path: str | Path) -> dict[str, Any]:
    """Like :func:`read_checkpoint`, for any version."""
    folder = Path(path).parent if given_path(path).name == 'last_checkpoint' else Path(path)
    if folder.is_dir():
        last = noted_checkpoint(folder)
        raise FileNotFoundError(f'{path} is not a checkpoint. Name one in {folder}{f", the last is {last}" if last else ""}.')
    content = read_tensors(path)
    state = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(key, str) and is_plain(value) for key, value in state.items()):
        raise ValueError(f'{path} contains no state dict of tensors. Expected a file written by training.')
    given = content.get('meta') if 'state_dict' in content else None
    known = {key: value for key, value in given.items() if key in _Meta.__struct_fields__} if isinstance(given, dict) else {}
    meta = msgspec.structs.asdict(convert(known, _Meta, f'The meta of {path} is malformed'))
    meta['dataset_meta'] = meta['dataset_meta'] and msgspec.structs.asdict(meta['dataset_meta'])
    return dict(path=path, state_dict=dict(state), meta={key: value for key, value in meta.items() if value is not None})


def is_plain(value: object) -> bool:
    """Whether a value is a dense tensor whose storage has its size: an expanded tensor of 10^9 x 10^9 elements may have a single stored
    element.
    """
    dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return dense and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def noted_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint named by the file ``last_checkpoint`` of a work dir, whether or not it exists; None if no checkpoint is named."""
    note = Path(work_dir, 'last_checkpoint')
    lines = note.read_text(encoding='utf-8', errors='replace').split('\n') if note.is_file() else ['']
    name = Path(lines[0].strip()).name
    return Path(work_dir, name) if name else None


def find_checkpoint(work_dir: str | Path) -> Path | None:
    """The last complete checkpoint of a training.

    A damaged checkpoint is skipped with a warning, and the previous one is used. Checkpoints of an earlier training in the folder are
    ignored.

    Returns:
        its path; None if there is no checkpoint at all.

    Raises:
        ValueError: there are checkpoints, but none is complete.
    """
    work_dir, last = given_path(work_dir), noted_checkpoint(work_dir)
    stamps, others = checkpoint_stamps(work_dir), read_note(work_dir).earlier
    paths = [work_dir / name for name, stamp in stamps.items() if others.get(name) != stamp]
    if stamps and not paths:
        warn(f'The checkpoints of {work_dir} belong to an earlier training, after which another one was started there.')
    found = sorted(paths, key=lambda path: (path == last, path.stat().st_mtime), reverse=True)
    for path in found:
        if is_whole(path):
            return path
        warn(f'{path} is damaged and was skipped; the previous checkpoint is used.')
    if found:
        raise ValueError(
            f'All checkpoints of {work_dir} are damaged: {", ".join(path.name for path in found)}. Start again without --resume.'
        )
    return None


def checkpoint_stamps(work_dir: str | Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every checkpoint of a work dir, by name."""
    paths = [*Path(work_dir).glob('iter_*.pth'), *Path(work_dir).glob('epoch_*.pth')]  # schedules in epochs, for mmdet's models
    return {path.name: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths}


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint is complete, by its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())  # otherwise it may unpack to any size
            return stored and archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError):
        return False


def named_classes(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Classes named in the ``meta`` of :func:`read_checkpoint`, in label order; None if there are none.

    >>> named_classes(dict(dataset_meta=dict(classes=('cat', 'dog'))))
    ('cat', 'dog')
    """
    return meta.get('dataset_meta', {}).get('classes')


def check_classes(path: str | Path, meta: Mapping[str, Any], classes: Sequence[str] | None) -> None:
    """Check that the classes of a checkpoint and of a config agree: the same label must mean the same class.

    Args:
        classes: names in label order; None if the config does not name them.

    Raises:
        ValueError: they differ.
    """
    named = named_classes(meta)
    if named is not None and classes is not None and named != tuple(classes):
        raise ValueError(
            f'Checkpoint {path} was trained on the classes {", ".join(named)}, the config has {", ".join(classes)}. Set the '
            "checkpoint's classes in its order in the config (metainfo.classes of its data sets). To initialise from weights of another "
            'task, create a file of tensors only (tools/model_converters/state_dict.py to).'
        )


def load_strictly(
    model: nn.Module, checkpoint: str | Path | Mapping[str, Any], assign: bool = False, classes: Sequence[str] | None = None
) -> dict[str, Any]:
    """Load weights into a model with exactly the same parameters and buffers.

    Args:
        model: changed in place, only if everything matches.
        checkpoint: a file, or the result of :func:`read_checkpoint`.
        assign: use the checkpoint's tensors instead of copying them, for a model on the ``meta`` device.
        classes: names in label order, which must equal those of the checkpoint if it names any; None skips the comparison.

    Returns:
        the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, or belongs to another model or other classes; the message says what differs.
    """
    checkpoint = checkpoint if isinstance(checkpoint, Mapping) else read_checkpoint(checkpoint)
    path, meta, given = (checkpoint[key] for key in ('path', 'meta', 'state_dict'))
    check_classes(path, meta, classes)
    wanted = model.state_dict()
    other = [key for key in wanted if key in given and differs(given[key], wanted[key])]
    differences = [
        f'{len(keys)} {what} ({", ".join(keys[:3])}{", ..." if len(keys) > 3 else ""})'
        for what, keys in (
            ('missing', [key for key in wanted if key not in given]),
            ('unexpected', [key for key in given if key not in wanted]),
            ('of another shape or type', [f'{key} {described(given[key])} for {described(wanted[key])}' for key in other]),
        )
        if keys
    ]
    if differences:
        raise ValueError(
            f'Checkpoint {path} belongs to another model than the config: of its {counted(len(given), "tensor")} {"; ".join(differences)}. '
            'Use the config that it was trained with.'
        )
    model.load_state_dict(given, assign=assign)
    return meta
