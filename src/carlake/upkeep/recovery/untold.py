"""What a recovery has found and not told yet, in a file of the lake: of what a stopped one has mended, nothing shows.

A step's findings are written down before it commits. They count for the next recovery once that has happened: the
snapshots of a recovery have no parent, so the one that the step saw leads to the table's newest no more. Else the damage
is there yet, and is found again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifests import is_ancestor
from carlake.lake import Lake
from carlake.refresh.plan import head_of
from carlake.storage.durable import write_atomically
from carlake.upkeep.checks.landing import untold_file
from carlake.upkeep.recovery.tables import Lost, Toll

Find = Callable[[str], IcebergTable | None]
"""The table of that name as it is now; None where it is not made."""


@dataclass(frozen=True)
class _Note:
    """What a step found that made `table` again, whose newest snapshot it saw; "" is a step without a commit of its own."""

    table: str
    seen: int | None
    toll: Toll


class Untold:
    """The findings of recoveries that were broken off, and of this one."""

    def __init__(self, lake: Lake) -> None:
        self._file = untold_file(lake)
        self._notes: list[_Note] = []
        # A file that cannot be read says nothing; it is replaced whole, so no crash leaves a part of it.
        with suppress(OSError, ValueError, KeyError, TypeError):
            self._notes = [_read(note) for note in json.loads(self._file.read_text(encoding="utf-8"))]

    def toll(self, find: Find) -> Toll:
        """What recoveries before this one have found, and mended since."""
        self._notes = [note for note in self._notes if _counts(note, find)]
        toll = Toll()
        for note in self._notes:
            toll.add(note.toll)
        return toll

    def note(self, table: str, seen: int | None, toll: Toll) -> Toll:
        """Write down what a step found; again, it takes the place of what was written for this table and snapshot.

        Gives `toll`. Raises OSError.
        """
        notes = [note for note in self._notes if not table or (note.table, note.seen) != (table, seen)]
        if toll != Toll():
            notes.append(_Note(table, seen, replace(toll)))
        if notes != self._notes:
            self._notes = notes
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps([asdict(note) for note in notes]).encode())
        return toll

    def told(self) -> None:
        """All of it is in the outcome of this recovery."""
        self._file.unlink(missing_ok=True)


def _counts(note: _Note, find: Find) -> bool:
    """Whether the step has committed since."""
    if not note.table:
        return True
    iceberg = find(note.table)
    head = head_of(iceberg)
    if iceberg is None or head is None or note.seen is None:
        return head is not None
    return not is_ancestor(iceberg, note.seen, head)


def _read(note: dict[str, Any]) -> _Note:
    toll = dict(note["toll"])
    for name in ("damaged", "lost"):
        toll[name] = [Lost(**one) for one in toll[name]]
    toll["rows"] = {name: (had, bad) for name, (had, bad) in toll["rows"].items()}
    return _Note(note["table"], note["seen"], Toll(**toll))
