"""An output folder that is written repeatedly and may contain other files: only our own unchanged files are replaced."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmlabelpenet.files import atomic_write, file_hash, given_path, locked, make_folder, temporary
from mmlabelpenet.formats.file_names import below
from mmlabelpenet.schema import counted

RECEIPT = 'written.sha256'


def replace_files(
    out: str | os.PathLike[str],
    write: Callable[[Path], object],
    keep: Callable[[str], bool] = lambda name: False,
    certain: Sequence[str] = (),
) -> list[str]:
    """Write files into a folder, replacing those of an earlier call.

    The files are written next to the folder and moved at the end, so a failure changes nothing. ``written.sha256`` lists the written files
    (for ``sha256sum -c``). Files listed by an earlier call are replaced, or removed if there is no new one, unless they have been changed;
    nothing else is replaced or removed.

    Args:
        out: the folder.
        write: writes the files into a given empty folder.
        keep: selects, among changed files of an earlier call, those that are kept instead of being replaced by a new file.
        certain: names of files that will certainly be written, so that conflicts are detected before the work starts.

    Returns:
        names of the changed files that were kept.

    Raises:
        FileExistsError: a file that is not ours, or was changed, is in the way.
        ValueError: another process is writing there, or ``written.sha256`` is malformed.
    """
    out = Path(os.path.abspath(given_path(out)))
    if os.path.lexists(out) and not out.is_dir():
        raise FileExistsError(f'{str(out)!r} is not a folder. Choose another path.')
    with locked(out):
        _check_free(out, certain, *_ours_and_changed(out))
        partial = temporary(out)
        try:
            partial.mkdir()
            write(partial)
            return _move(partial, out, keep)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def written_files(out: Path) -> dict[str, set[str]]:
    """The content of ``written.sha256``: SHA-256 hashes by name, several if the last call was killed; empty without such a file.

    Raises:
        ValueError: the file is malformed.
    """
    receipt, found = out / RECEIPT, {}
    if not receipt.is_file():
        return {}
    try:
        for line in receipt.read_text(encoding='utf-8').splitlines():
            digest, name = line.split('  ', 1)
            found.setdefault(name, set()).add(digest)
    except ValueError as error:
        raise ValueError(f'{str(receipt)!r} is malformed ({error}). Choose another folder.') from error
    return found


def is_unchanged(path: Path, digests: set[str]) -> bool:
    """Whether a file is listed and unchanged."""
    return path.is_file() and not path.is_symlink() and file_hash(path) in digests


def _move(partial: Path, out: Path, keep: Callable[[str], bool]) -> list[str]:
    new = {path.relative_to(partial).as_posix(): file_hash(path) for path in sorted(partial.rglob('*')) if path.is_file()}
    earlier, (ours, changed) = written_files(out), _ours_and_changed(out)
    kept = sorted(name for name in changed & set(new) if keep(name))
    _check_free(out, [name for name in new if name not in kept], ours, changed)
    out.mkdir(mode=0o777, parents=True, exist_ok=True)
    listed = [(digest, name) for name, digest in new.items() if name not in kept]
    listed += [(digest, name) for name in sorted(changed - set(new) | set(kept)) for digest in sorted(earlier[name])]
    before = [(digest, name) for name in sorted(ours) for digest in sorted(earlier[name])]
    _write_receipt(out, {*listed, *before})  # from here on, a kill leaves only listed files
    for name in new:
        if name not in kept:
            make_folder((out / name).parent)
            os.replace(partial / name, out / name)
    for name in ours - set(new):
        (out / name).unlink()
        for folder in (out / name).parents:
            if folder == out or any(folder.iterdir()):
                break
            folder.rmdir()
    _write_receipt(out, set(listed))
    return kept


def _ours_and_changed(out: Path) -> tuple[set[str], set[str]]:
    """Names of listed files that are unchanged, and of those that have been changed."""
    earlier = written_files(out)
    ours = {name for name, digests in earlier.items() if is_unchanged(below(out, name, RECEIPT, links=False), digests)}
    return ours, {name for name in earlier if name not in ours and (out / name).exists()}


def _check_free(out: Path, names: Sequence[str], ours: set[str], changed: set[str]) -> None:
    """Raise an error instead of overwriting other files."""
    names = [name for name in names if name not in ours]
    for name in names:
        below(out, name, links=False)
    taken = [name for name in names if os.path.lexists(out / name)]
    taken += [name for name in names if any(os.path.lexists(folder) and not folder.is_dir() for folder in _folders(out, name))]
    if taken:
        first = taken[0]
        why = 'has been changed since it was written' if first in changed else 'was not written by an earlier run'
        more = f', as with {counted(len(taken) - 1, "other file")}' if len(taken) > 1 else ''
        raise FileExistsError(f'{str(out / first)!r} {why}{more}, so it is not replaced. Choose another folder.')


def _folders(out: Path, name: str) -> list[Path]:
    return [folder for folder in (out / name).parents if folder.is_relative_to(out) and folder != out]


def _write_receipt(out: Path, listed: set[tuple[str, str]]) -> None:
    with atomic_write(out / RECEIPT) as file:
        file.writelines(f'{digest}  {name}\n' for digest, name in sorted(listed, key=lambda entry: entry[::-1]))
