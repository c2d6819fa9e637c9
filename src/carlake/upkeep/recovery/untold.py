"""What a recovery has found and not told yet, in a file of the lake: of what a stopped one has mended, nothing shows.

A step's findings are written down before it commits, and count once it has: a note is done, or the table has a snapshot of
its run. Else the damage is there yet, and is found again. Each recovery has a file of its own, so that two at once lose
nothing of each other's. Of a lake in an object store they lie where its locks do, on the machine that recovers.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pyiceberg.table import Table as IcebergTable

from carlake.lake import Lake
from carlake.refresh.causes import cause
from carlake.refresh.context import RUN_PROPERTY
from carlake.storage.durable import write_atomically
from carlake.upkeep.checks.landing import untold_folder
from carlake.upkeep.recovery.tables import Lost, Toll

Find = Callable[[str], IcebergTable | None]
"""The table of that name as it is now; None where it is not made."""


@dataclass(frozen=True)
class _Note:
    """What a step found.

    table   which it made again; "" where it has no commit of its own
    run_id  its run, which is in the snapshots that it makes
    done    it has committed
    """

    table: str
    run_id: str
    toll: Toll
    done: bool = False


class Untold:
    """The findings of this recovery, and of those that were broken off before."""

    def __init__(self, lake: Lake) -> None:
        self._own = untold_folder(lake) / f"{uuid.uuid4().hex}.json"
        self._notes: list[_Note] = []
        self._before: list[_Note] = []
        self._read: dict[Path, bytes] = {}
        self._unread: dict[Path, Lost] = {}
        for file in sorted(self._own.parent.glob("*.json")):
            try:
                content = file.read_bytes()
                self._before += [_note(each) for each in json.loads(content)["notes"]]
                self._read[file] = content
            except FileNotFoundError:
                continue  # another recovery has told it meanwhile
            except Exception as error:  # noqa: BLE001  (whatever is in it must not stop a recovery, and is not thrown away)
                why = f"it cannot be read ({type(error).__name__}: {cause(error).splitlines()[0]}), and is set aside beside it"
                self._unread[file] = Lost(f"what a recovery that was broken off had found, in {file}", why)

    def toll(self, find: Find) -> Toll:
        """All that was found, and mended since. `find` gives tables as they are now."""
        # Those of before once and for all: the snapshots that tell may expire.
        self._before = [replace(note, done=True) for note in _counting(self._before, find)]
        toll = Toll(lost=list(self._unread.values()))
        for note in [*self._before, *_counting(self._notes, find)]:
            toll.add(note.toll)
        return toll

    def note(self, table: str, run_id: str, toll: Toll) -> None:
        """Write down what a step found, in place of what it has found so far. Raises OSError."""
        notes = [note for note in self._notes if (note.table, note.run_id) != (table, run_id)]
        if toll != Toll():
            notes.append(_Note(table, run_id, deepcopy(toll)))
        self._write(notes)

    def done(self, run_id: str) -> None:
        """The step of that run has committed what it had to."""
        self._write([replace(note, done=True) if note.run_id == run_id else note for note in self._notes])

    def _write(self, notes: list[_Note]) -> None:
        if notes == self._notes:
            return
        self._notes = notes
        self._own.parent.mkdir(parents=True, exist_ok=True)
        # An object, so that `forget` takes its texts for texts: it overwrites a car's name in them, and numbers stay.
        write_atomically(self._own, json.dumps({"notes": [asdict(note) for note in notes]}).encode())

    def told(self) -> None:
        """Somebody has heard all of it."""
        self._own.unlink(missing_ok=True)
        for file, content in self._read.items():
            with suppress(FileNotFoundError):
                if file.read_bytes() == content:  # else a recovery that goes on has found more
                    file.unlink()
        for file in self._unread:
            with suppress(OSError):
                file.replace(file.with_suffix(".unread"))


def _counting(notes: Iterable[_Note], find: Find) -> list[_Note]:
    """The notes of steps that have committed, or had nothing to commit."""
    runs: dict[str, set[str]] = {}
    found = []
    for note in notes:
        if note.table and not note.done and note.table not in runs:
            runs[note.table] = _runs(find(note.table))
        if note.done or not note.table or note.run_id in runs[note.table]:
            found.append(note)
    return found


def _runs(iceberg: IcebergTable | None) -> set[str]:
    """The runs whose snapshots a table has."""
    snapshots = iceberg.metadata.snapshots if iceberg is not None else []
    return {str(each.summary.additional_properties.get(RUN_PROPERTY)) for each in snapshots if each.summary is not None}


def _note(given: dict[str, Any]) -> _Note:
    toll = dict(given["toll"])
    for name in ("damaged", "lost"):
        toll[name] = [Lost(**one) for one in toll[name]]
    for name in ("back", "gone", "short"):
        toll[name] = {str(key): int(value) for key, value in toll[name].items()}
    for name in ("held", "salvaged"):
        toll[name] = int(toll[name])
    toll["rows"] = {str(name): (int(had), int(bad)) for name, (had, bad) in toll["rows"].items()}
    toll["land"] = [str(uri) for uri in [*toll["land"]]]
    return _Note(str(given["table"]), str(given["run_id"]), Toll(**toll), bool(given["done"]))
