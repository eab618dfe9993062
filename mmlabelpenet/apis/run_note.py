"""``run.json`` of a work dir: what is trained there, and the order in which its trainings were started."""

import json
from pathlib import Path

import msgspec

from mmlabelpenet.files import atomic_write
from mmlabelpenet.schema import read_json

RUN_FILE = 'run.json'


class RunNote(msgspec.Struct):
    """Content of ``run.json``.

    Attributes:
        config: file of the config; None if there is no note.
        recipe_sha256: hash of the config, shared by runs that differ only in the seed.
        seed: of the training.
        earlier: size and modification time, by name, of the checkpoints that existed when the training started.
        runs: names of the log folders, oldest first. A name is the start time, from a clock that may be set back.
    """

    config: str | None = None
    recipe_sha256: str | None = None
    seed: int | str | None = None
    earlier: dict[str, tuple[int, int]] = {}
    runs: list[str] = []


def read_note(work_dir: str | Path) -> RunNote:
    """The note of a work dir, an empty one if there is none.

    Raises:
        ValueError: it is malformed.
    """
    path = Path(work_dir, RUN_FILE)
    return read_json(path, RunNote, 'the note of a training', 'Remove it.') if path.is_file() else RunNote()


def write_note(work_dir: str | Path, note: RunNote) -> None:
    """Write the note of a work dir atomically."""
    with atomic_write(Path(work_dir, RUN_FILE)) as file:
        file.write(json.dumps(msgspec.to_builtins(note), indent=1) + '\n')


def run_files(work_dir: str | Path, pattern: str = 'vis_data/config.py') -> list[Path]:
    """Files in the log folders of a work dir, those of the last training at the end.

    Args:
        pattern: of files below a log folder; by default the trained config.

    Folders that are not in the note come first, sorted by name.
    """
    place = {name: number for number, name in enumerate(read_note(work_dir).runs)}
    folders = sorted((path for path in Path(work_dir).glob('*/')), key=lambda path: (place.get(path.name, -1), path.name))
    return [path for folder in folders for path in sorted(folder.glob(pattern))]
