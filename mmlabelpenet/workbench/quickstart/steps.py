"""A command made of steps: each runs once per settings, with progress output.

A step is another command, whose output is written to a log and partly shown, or a function. Finished steps are recorded in the work dir, so
that the same command continues after an interruption.
"""

import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmlabelpenet.files import atomic_write, make_folder, shipped
from mmlabelpenet.processes import LAUNCHER
from mmlabelpenet.progress import clock
from mmlabelpenet.schema import read_json
from mmlabelpenet.terminal import say

SHOWN = ('Iter(train)', 'Iter(test)', 'Phase ', 'pseudo instances', 'recall of', 'images, proposals', 'WARNING', 'Resumed', 'Error')
SILENT = ('Failed to search registry', 'FileClient', 'HardDiskBackend', 'prefix is not set', 'FutureWarning', 'UserWarning')


class Steps:
    """Runs steps and records finished ones with their settings in ``<work dir>/quickstart.json``."""

    def __init__(self, work_dir: Path, total: int) -> None:
        self.path, self.total, self.number = work_dir / 'quickstart.json', total, 0
        self.logs = work_dir / 'steps'
        make_folder(self.logs)
        self.done: dict[str, dict[str, Any]] = (
            read_json(self.path, dict[str, dict[str, Any]], 'a list of steps', 'Remove it.') if self.path.exists() else {}
        )

    def run(self, name: str, settings: Any, outputs: list[Path], action: list[str] | Callable[[], None], command: str = '') -> None:
        """Run a step, unless it was finished with these settings and its outputs exist.

        Args:
            settings: everything it depends on, JSON-serialisable.
            action: a command, or a function equivalent to ``command``.
            command: command shown for a function.
        """
        self.number += 1
        mark = fingerprint(settings)
        known = self.done.get(name, {})
        title = f'[{self.number}/{self.total}] {name}'
        if known.get('settings') == mark and known.get('seconds') is not None and all(path.exists() for path in outputs):
            say(f'{title}: done before, in {clock(known["seconds"])}')
            return
        command = command or shlex.join(['python', *action[1:]])  # type: ignore[index]
        say(f'{title}: {command}')
        start, spent = time.monotonic(), known.get('spent', 0.0) if known.get('settings') == mark else 0.0
        record = dict(settings=mark, command=command, seconds=None, spent=spent)
        self._remember(name, record)
        try:
            action() if callable(action) else run_command(action, self.logs / f'{name.replace(" ", "_")}.log')
        finally:
            record['spent'] = spent + time.monotonic() - start
            self._remember(name, record)
        self._remember(name, dict(record, seconds=record['spent']))
        say(f'{title}: done in {clock(record["spent"])}')

    def _remember(self, name: str, record: dict[str, Any]) -> None:
        self.done[name] = record
        with atomic_write(self.path) as file:
            file.write(json.dumps(self.done, indent=1) + '\n')


def fingerprint(settings: Any) -> str:
    """Short hash of a JSON-serialisable value.

    >>> fingerprint({'a': 1}) == fingerprint({'a': 1}) != fingerprint({'a': 2})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def run_command(command: list[str], log: Path) -> None:
    """Run a command; its output is written to ``log``, and the important part also to the terminal.

    Raises:
        ChildProcessError: it fails; with the last lines.
    """
    root = str(shipped('tools').parent)  # for a checkout that is not installed
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')])), PYTHONUNBUFFERED='1')
    last: list[str] = []
    with log.open('a', encoding='utf-8') as file, child(command, env) as process:
        for line in process.stdout:  # type: ignore[union-attr]
            file.write(line)
            last = [*last[-29:], line]
            if any(word in line for word in SHOWN) and not any(word in line for word in SILENT):
                say('    ' + line.split(' - mmengine - ')[-1].strip()[:150])
    if process.returncode:
        raise ChildProcessError(f'Failed with exit status {process.returncode}; the whole output is in {log}. Its end:\n{"".join(last)}')


@contextmanager
def child(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A process that ends with this one, however it ends."""
    with subprocess.Popen(
        command,
        env=env | {LAUNCHER: str(os.getpid())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        bufsize=1,
    ) as process:
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
