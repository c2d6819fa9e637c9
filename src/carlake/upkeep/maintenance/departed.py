"""Files of expired snapshots: removed once no reader can be in the middle of them.

They are written down before the snapshots go, one small file in the lake's own folder for each expiry, and removed when
that note is older than the grace for readers, if the table's metadata does not refer to them then. A lost note loses
nothing: orphan removal finds the same files, only later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pyiceberg.table import Table as IcebergTable

from carlake.upkeep.maintenance.files import TableFiles, clock_of
from carlake.upkeep.maintenance.references import referenced

_SUFFIX = ".departed.json"


@dataclass(frozen=True)
class Note:
    """Files of one table that expired snapshots have left, as `TableFiles.path` gives them."""

    path: Path
    files: tuple[str, ...]


def note(folder: Path, table: str, files: Sequence[str]) -> None:
    """Write down files that are about to be left without a reference. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}-{uuid4().hex}{_SUFFIX}"
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"files": list(files)}), encoding="utf-8")
    unfinished.replace(path)


def ripe(folder: Path, table: str, grace_seconds: float) -> list[Note]:
    """The notes of a table that are older than the grace, oldest first; one that cannot be read is dropped."""
    if not folder.is_dir():
        return []
    found = sorted(folder.glob(f"{table}-*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    if not found:
        return []
    now = clock_of(folder)
    notes = []
    for path in found:
        if now - path.stat().st_mtime < grace_seconds:
            break
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            notes.append(Note(path, tuple(map(str, content["files"]))))
        except (ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
    return notes


def remove(iceberg: IcebergTable | None, notes: Sequence[Note], more_time: Callable[[], bool] = lambda: True) -> int:
    """Remove the files of one table's notes that its metadata, loaded just now, does not refer to, and the notes.

    Gives the number of files removed. Ends early, with the rest still noted, when `more_time` says no.
    """
    removed = 0
    if iceberg is not None:
        files = TableFiles(iceberg)
        needed = referenced(iceberg, files)
        for each in notes:
            # Never outside of the table, whatever a note says.
            going = [path for path in each.files if path not in needed and path.startswith(f"{files.root}/")]
            gone, done = files.remove_all(going, more_time)
            removed += gone
            if not done:
                return removed
            each.path.unlink(missing_ok=True)
        return removed
    for each in notes:
        each.path.unlink(missing_ok=True)
    return 0
