"""Results of a check: the schema of its JSON file."""

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
    """Settings of a section.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``; on the CPU all sizes are small.
        out: folder for files.
        data: VOC devkit to train on; None renders a small one.
        end: deadline of the section, in seconds of ``time.monotonic()``.
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
        """Seconds until the deadline."""
        return self.end - time.monotonic()


class Table(msgspec.Struct):
    """Rows under a title."""

    title: str
    head: list[str]
    rows: list[list[Cell]] = []


class Findings(msgspec.Struct):
    """Results of a section so far: the main result in words, single values, tables, and problems that did not end it."""

    result: str = ''
    facts: dict[str, Cell] = {}
    tables: list[Table] = []
    problems: list[str] = []


class Outcome(msgspec.Struct):
    """The outcome of a section.

    Attributes:
        about: what it measures and in which units.
        seconds: time used.
        limit: time limit in seconds.
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
    """Findings that are written to a file after each change, so that they are kept if the section times out.

    Args:
        path: the JSON file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.findings = path, Findings()

    def result(self, text: str) -> None:
        """Record the main result so far, shown at the top of the report."""
        self.findings.result = text
        self._write()

    def fact(self, name: str, value: Cell) -> None:
        """Record a single value."""
        self.findings.facts[name] = value
        self._write()

    def row(self, title: str, head: list[str], row: list[Cell]) -> None:
        """Add a row to the table with a title, creating it if needed."""
        table = next((table for table in self.findings.tables if table.title == title), None)
        if table is None:
            self.findings.tables.append(table := Table(title, head))
        table.rows.append(row)
        self._write()

    def problem(self, text: str) -> None:
        """Record a problem without ending the section."""
        self.findings.problems.append(text)
        self._write()

    def _write(self) -> None:
        write(self.path, self.findings)


def write(path: str | os.PathLike[str], content: Any) -> None:
    """Write a record as JSON, atomically."""
    with atomic_write(path, 'wb') as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b'\n')


def read_findings(path: Path) -> Findings:
    """Findings of a section; empty ones if it wrote nothing."""
    return read_json(path, Findings, 'findings of a section', 'Run the check again.') if path.exists() else Findings()
