"""What a check finds: the schema of its JSON file."""

import os
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from mmlabelpenet.files import atomic_write
from mmlabelpenet.schema import read_json

State = Literal['done', 'cut off', 'interrupted', 'failed', 'skipped']
Cell = str | int | float | None


class Settings(msgspec.Struct, frozen=True):
    """What a section is told.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``; on the CPU all sizes are small.
        out: folder for files.
        data: VOC devkit to train on; None renders a small one.
        end: of the section, in seconds of ``time.monotonic()``; then it is cut off.
    """

    device: str
    out: str
    data: str | None = None
    end: float = 0.0

    @property
    def small(self) -> bool:
        """Whether sizes are reduced."""
        return self.device == 'cpu'

    def left(self) -> float:
        """Seconds until the section is cut off."""
        return self.end - time.monotonic()


class Table(msgspec.Struct):
    """Rows under a title."""

    title: str
    head: list[str]
    rows: list[list[Cell]] = []


class Findings(msgspec.Struct):
    """Measurements of a section so far: the main result in some words, single values, tables, and problems that did not end it."""

    result: str = ''
    facts: dict[str, Cell] = {}
    tables: list[Table] = []
    problems: list[str] = []


class Outcome(msgspec.Struct):
    """A section after its end.

    Attributes:
        about: what it measures and in which units.
        seconds: of time used.
        limit: seconds it was given.
        message: the end of its log unless it is done.
    """

    name: str
    title: str
    about: str
    state: State
    seconds: float
    limit: float
    findings: Findings
    message: str = ''


class Report(msgspec.Struct):
    """A whole check."""

    device: str
    minutes: float
    started: str
    sections: list[Outcome]


class Notebook:
    """Findings that are written to a file after each change, so that a section that is cut off leaves what it has.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.findings = path, Findings()

    def result(self, text: str) -> None:
        """Note the main result so far; the page begins with it."""
        self.findings.result = text
        self._write()

    def fact(self, name: str, value: Cell) -> None:
        """Note a single value."""
        self.findings.facts[name] = value
        self._write()

    def row(self, title: str, head: list[str], row: list[Cell]) -> None:
        """Add a row to the table of a title; the first row makes the table."""
        table = next((table for table in self.findings.tables if table.title == title), None)
        if table is None:
            self.findings.tables.append(table := Table(title, head))
        table.rows.append(row)
        self._write()

    def problem(self, text: str) -> None:
        """Note what went wrong without ending the section."""
        self.findings.problems.append(text)
        self._write()

    def _write(self) -> None:
        write(self.path, self.findings)


def write(path: str | os.PathLike[str], content: Any) -> None:
    """Write a record as JSON; the file appears whole or not at all."""
    with atomic_write(path, 'wb') as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b'\n')


def read_findings(path: Path) -> Findings:
    """Findings of a section; empty ones if it wrote nothing."""
    return read_json(path, Findings, 'findings of a section', 'Run the check again.') if path.exists() else Findings()
