"""Run sections one after another, each in its own process with a time limit.

If a section fails or times out, its results so far are kept, and the other sections still run.
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

LEAST = 5.0  # minimum seconds for starting a section
SHORTEST = 30.0  # minimum time limit in seconds, if available: importing PyTorch and MMDetection takes some of it
GRACE = 5.0  # seconds between the request to end and the kill


@dataclass(frozen=True)
class Section:
    """A section of the check.

    Attributes:
        title: title in the report.
        share: maximum share of the total time; unused time goes to sections with a share of 1.
        function: ``module:function``, called with :class:`Settings` and a :class:`Notebook`.
        about: description for the report: what is measured, in which units.
    """

    name: str
    title: str
    share: float
    function: str
    about: str = ''


def run_sections(
    sections: Sequence[Section], settings: Settings, seconds: float, finished: Callable[[list[Outcome]], None] = lambda _: None
) -> list[Outcome]:
    """Run sections in order until the time is used up.

    Args:
        settings: settings of all sections; ``end`` is set for each.
        seconds: total time.
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
    """Run one section in a process, and terminate it with all its children at ``settings.end``.

    Args:
        ended: called with the outcome, also if an exception such as ``KeyboardInterrupt`` ends the check.
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
    """Terminate the remaining processes of the session."""
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
