"""What is due in a lake, and why, as plain data; and what was done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Task = Literal[
    "compact", "expire", "remove expired", "trim metadata", "remove orphans",
    "prune runs", "retain records", "retain archive", "clear scratch",
]  # fmt: skip
"""What maintenance does.

compact         merge small data files
expire          take old snapshots out of a table's metadata
remove expired  remove files that only expired snapshots needed
trim metadata   remove former metadata files
remove orphans  remove files that nothing refers to
prune runs      remove old rows of ops_runs
retain records  leave a marker row of old objects in bronze
retain archive  remove old archived objects
clear scratch   remove temporary files of processes that are gone
"""


@dataclass(frozen=True)
class Due:
    """One thing to do.

    table      empty where it is not about one table
    why        in words
    files      files that are merged or removed; size: their bytes
    rows       rows that go
    snapshots  snapshots that go
    """

    task: Task
    table: str
    why: str
    files: int = 0
    size: int = 0
    rows: int = 0
    snapshots: int = 0


@dataclass(frozen=True)
class Done:
    """What became of one thing that was due.

    files          files removed, or merged; files_written: files that came in their place
    rows, snapshots  what went
    again          it was not done, or not all of it: another writer came between, or time was up
    error          what went wrong, and what to do
    """

    task: Task
    table: str
    files: int = 0
    files_written: int = 0
    rows: int = 0
    snapshots: int = 0
    seconds: float = 0.0
    again: bool = False
    error: str = ""


MoreTime = Callable[[], bool]
"""Whether there is time for more."""


@dataclass(frozen=True)
class Found:
    """One thing to do, with what does it. Nothing is changed before `do` is called; it raises CarlakeError, OSError."""

    due: Due
    do: Callable[[MoreTime], Done]
