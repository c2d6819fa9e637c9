"""Files below a table that nothing refers to: left by writers that died, or by an expiry whose note was lost.

A file goes only if it is older than the age guard by the store's clock, was unreferenced in an earlier pass, too, at
least the grace for readers ago, and has not changed since. A live writer's files are younger; one that works longer than
the guard finds at its commit that a file is missing, and plans again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.table import Table as IcebergTable

from carlake.storage.places import YOUNGEST_ORPHAN_SECONDS
from carlake.upkeep.maintenance.files import Stored, TableFiles, clock_of
from carlake.upkeep.maintenance.references import referenced

_FOLDERS = ("data", "metadata")
# Another program may keep files of its own beside the table's.
_KINDS = (".parquet", ".avro", ".orc", ".puffin", ".stats", ".metadata.json", ".metadata.json.gz")


@dataclass(frozen=True)
class Orphans:
    """What one pass found.

    ready  unreferenced in an earlier pass, too: these may go
    noted  unreferenced for the first time, or not for long enough
    """

    ready: tuple[Stored, ...]
    noted: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Bytes of those that may go."""
        return sum(file.size for file in self.ready)


def find_orphans(
    load: Callable[[], IcebergTable | None], folder: Path, table: str, age_seconds: float, grace_seconds: float
) -> Orphans:
    """Look for orphans; changes nothing. Raises OSError.

    load  gives the table as the catalog has it now. It is loaded again after the listing, so that what was committed
          meanwhile counts as referenced.
    """
    iceberg = load()
    if iceberg is None:
        return Orphans((), ())
    files = TableFiles(iceberg)
    listed = [found for name in _FOLDERS for found in files.below(name) if found.path.endswith(_KINDS)]
    iceberg = load()
    if iceberg is None:
        return Orphans((), ())
    needed = referenced(iceberg, files)
    loose = [found for found in listed if found.path not in needed]
    if not loose:
        return Orphans((), ())
    now = files.now()
    least = age_seconds if files.local else max(age_seconds, YOUNGEST_ORPHAN_SECONDS)
    old = [found for found in loose if now - found.modified >= least]
    before, since = _noted(folder, table)
    ready = [
        found for found in old if before.get(found.path) == [found.size, found.modified] and since >= grace_seconds
    ]
    there = {found.path for found in ready}
    return Orphans(tuple(ready), tuple(found for found in old if found.path not in there))


def remove_orphans(
    load: Callable[[], IcebergTable | None],
    folder: Path,
    table: str,
    orphans: Orphans,
    more_time: Callable[[], bool] = lambda: True,
) -> int:
    """Remove those that may go and that the table as it is now does not refer to; note the others for the next pass.

    Gives the number of files removed. Raises OSError.
    """
    iceberg = load()
    if iceberg is None:
        return 0
    files = TableFiles(iceberg)
    needed = referenced(iceberg, files) if orphans.ready else set()
    removed, _ = files.remove_all([found.path for found in orphans.ready if found.path not in needed], more_time)
    if orphans.noted:
        before, _ = _noted(folder, table)
        if any(before.get(found.path) != [found.size, found.modified] for found in orphans.noted):
            _note(folder, table, orphans.noted)
    else:
        _path(folder, table).unlink(missing_ok=True)
    return removed


def _path(folder: Path, table: str) -> Path:
    return folder / f"{table}.orphans.json"


def _noted(folder: Path, table: str) -> tuple[dict[str, list[float]], float]:
    """What an earlier pass noted, and how many seconds ago by the clock of the lake's own folder."""
    path = _path(folder, table)
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): list(seen) for name, seen in noted.items()}, clock_of(folder) - path.stat().st_mtime
    except (OSError, ValueError, AttributeError, TypeError):
        return {}, 0.0


def _note(folder: Path, table: str, found: tuple[Stored, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{table}.orphans.tmp"
    noted = {file.path: [file.size, file.modified] for file in found}
    unfinished.write_text(json.dumps(noted), encoding="utf-8")
    unfinished.replace(_path(folder, table))
