"""Run sections one after another, each in a process of its own and with a time limit.

A section that fails or is cut off loses neither its own earlier measurements nor the other sections.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mmlabelpenet.processes import LAUNCHER
from mmlabelpenet.workbench.gpu_check.records import Findings, Outcome, Settings, read_findings

LEAST = 5.0  # seconds without which a section is not started
SHORTEST = 30.0  # seconds that every section may take where they are left: importing PyTorch and MMDetection needs some of them
GRACE = 5.0  # seconds between the request to end and the kill


@dataclass(frozen=True)
class Section:
    """A part of the check.

    Attributes:
        title: for the page.
        share: of the whole time, at most; what earlier sections left unused goes to those with a share of 1.
        function: ``module:function``, called with :class:`Settings` and a :class:`Notebook`.
        about: for the page: what is measured, in which units.
    """

    name: str
    title: str
    share: float
    function: str
    about: str = ''


def run_sections(
    sections: Sequence[Section], settings: Settings, seconds: float, finished: Callable[[list[Outcome]], None] = lambda _: None
) -> list[Outcome]:
    """Run sections in their order until the time is over.

    Args:
        settings: for all of them; ``end`` is set for each.
        seconds: for all together.
        finished: called after each section with the outcomes so far.

    Returns:
        one outcome per section; those without time left are ``'skipped'``.
    """
    end, outcomes = time.monotonic() + seconds, list[Outcome]()

    def ended(outcome: Outcome) -> None:
        outcomes.append(outcome)
        finished(outcomes)

    for section in sections:
        left = end - time.monotonic()
        limit = min(left, max(section.share * seconds, SHORTEST))
        if left < LEAST:
            ended(Outcome(section.name, section.title, section.about, 'skipped', 0.0, max(limit, 0.0), Findings(), 'No time was left.'))
        else:
            run_section(section, msgspec.structs.replace(settings, end=time.monotonic() + limit), ended)
    return outcomes


def run_section(section: Section, settings: Settings, ended: Callable[[Outcome], None]) -> None:
    """Run one section in a process, and end it with all its children at ``settings.end``.

    Args:
        ended: called with the outcome, also where an exception such as ``KeyboardInterrupt`` ends the check.
    """
    folder = Path(settings.out)
    found, log = folder / f'{section.name}.json', folder / f'{section.name}.log'
    found.unlink(missing_ok=True)
    words = [sys.executable, '-m', f'{__package__}.section', section.function, msgspec.json.encode(settings).decode(), str(found)]
    begin, limit, state = time.monotonic(), settings.left(), 'interrupted'
    with log.open('wb') as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=_environment(settings))
    try:
        process.wait(max(settings.left(), 0.0))
        state = 'failed' if process.returncode else 'done'
    except subprocess.TimeoutExpired:
        state = 'cut off'
    finally:
        _end(process)
        message = '' if state == 'done' else _end_of(log)
        spent = time.monotonic() - begin
        outcome = Outcome(section.name, section.title, section.about, state, spent, limit, read_findings(found), message)  # type: ignore[arg-type]
        ended(outcome)


def _environment(settings: Settings) -> dict[str, str]:
    hidden = dict(CUDA_VISIBLE_DEVICES='') if settings.device == 'cpu' else {}
    return os.environ | hidden | {LAUNCHER: str(os.getpid()), 'PYTHONUNBUFFERED': '1'}


def _end(process: subprocess.Popen) -> None:
    """End whatever is left of the process's session."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _end_of(log: Path, lines: int = 12) -> str:
    return '\n'.join(log.read_text(encoding='utf-8', errors='replace').splitlines()[-lines:])
