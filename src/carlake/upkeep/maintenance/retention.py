"""Retention: what bronze and the archive no longer keep, where a setting says so.

Of an object whose records go, bronze keeps one marker row, so that the ledger stays whole: the object, landed again,
adds nothing. Silver and quarantine keep their rows; see `carlake.refresh.retained` for what a full refresh makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import TimestamptzType

from carlake.engines.manifests import live_files
from carlake.errors import CarlakeError, CommitRefusedError
from carlake.landing.archived import archived, day_of
from carlake.landing.landed import LandedObject
from carlake.landing.objects import path_of
from carlake.refresh.context import Context
from carlake.refresh.plan import Bookmark, head_of
from carlake.tables.declare import BRONZE
from carlake.upkeep.maintenance.compaction import publish_rewritten
from carlake.upkeep.maintenance.files import DataFiles
from carlake.upkeep.maintenance.old_runs import RETENTION

PROMISE = (
    "Silver and quarantine keep the rows made from records that bronze no longer has, through every rebuild. "
    "They stay as they were made: a changed contract does not reach them, and if a newer version of such an event is "
    "taken back, the older one does not return."
)
"""What a rebuild still promises once retention has removed records."""

_MARKERS = """SELECT any_value(source_uri) AS source_uri, source_id, CAST(0 AS BIGINT) AS source_row,
       any_value(source_size) AS source_size, any_value(source_modified_at) AS source_modified_at,
       CAST(NULL AS VARCHAR) AS record_hash, CAST(NULL AS VARCHAR) AS event_id, CAST(NULL AS VARCHAR) AS car_chassis,
       CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS event_timestamp, CAST(NULL AS VARCHAR) AS raw,
       CAST(NULL AS BLOB) AS raw_bytes, min(ingested_at) AS ingested_at
FROM {rows} GROUP BY source_id"""


@dataclass(frozen=True)
class Aged(DataFiles):
    """Bronze files whose records may go; `waiting` more are as old, and a table, or a release, may still need them."""

    waiting: int = 0


def has_markers(iceberg: IcebergTable | None) -> bool:
    """Whether bronze has marker rows, by its files' statistics alone: from retention, or from objects without records."""
    if iceberg is None:
        return False
    field = iceberg.schema().find_field("record_hash").field_id
    return any(file.null_value_counts.get(field, 1) for file in live_files(iceberg, head_of(iceberg)))


def aged(bronze: IcebergTable, before: datetime, readers: Mapping[str, IcebergTable | None]) -> Aged:
    """The bronze files that hold records of days all of whose objects were taken in before a moment.

    readers  the tables that are made from bronze. A file that one of them has not read yet, or would have to read again
             after a return to one of its kept snapshots, waits.
    """
    fields = {name: bronze.schema().find_field(name).field_id for name in ("ingested_at", "record_hash")}
    limit = int(before.timestamp() * 1_000_000)
    days: dict[object, list[DataFile]] = {}
    recent: set[object] = set()
    for file in live_files(bronze, head_of(bronze)):
        if file.null_value_counts.get(fields["record_hash"], 0) == file.record_count:
            continue
        # A merge may have cut an object's rows apart, and they all lie in its day: a day goes as a whole, or waits.
        day = tuple(file.partition[place] for place in range(len(file.partition)))
        days.setdefault(day, []).append(file)
        upper = file.upper_bounds.get(fields["ingested_at"])
        if upper is None or from_bytes(TimestamptzType(), upper) >= limit:
            recent.add(day)
    old = [files for day, files in days.items() if day not in recent]
    if not old:
        return Aged(())
    read = _read(bronze, readers)
    free = [file for files in old if all(f.file_path in paths for f in files for paths in read) for file in files]
    return Aged(tuple(free), sum(map(len, old)) - len(free))


def _read(bronze: IcebergTable, readers: Mapping[str, IcebergTable | None]) -> list[set[str]]:
    """The bronze files of each snapshot that a table has read up to: now, and at each snapshot that it may be returned
    to. Where that is not known, none are.
    """
    wanted: set[int | None] = {ref.snapshot_id for name, ref in bronze.metadata.refs.items() if name != "main"}
    for reader in readers.values():
        kept = reader.metadata.snapshots if reader is not None else []
        marks = [Bookmark.of(snapshot) for snapshot in kept]
        wanted |= {mark.source if mark else None for mark in marks} if marks else {None}
    return [{file.file_path for file in live_files(bronze, snapshot)} for snapshot in wanted]


def drop_records(context: Context, found: Aged) -> int | None:
    """Leave one marker row of each object; gives the number of records that went, None where another writer came
    between. Raises CarlakeError.
    """
    base = head_of(context.find(BRONZE))
    if base is None or not found.files:
        return None
    table = context.tables[BRONZE]
    try:
        written = context.engine.rewrite(table, base, [file.file_path for file in found.files], _MARKERS)
    except CommitRefusedError:
        return None
    if written.rows_after > written.rows_before or not written.rows_after:
        written.abandon()
        raise CarlakeError(
            f"Retention of table {BRONZE} would have left {written.rows_after} marker rows of {written.rows_before} rows; "
            "nothing was changed."
        )
    snapshot = publish_rewritten(context, table, written, RETENTION)
    return written.rows_before - written.rows_after if snapshot is not None else None


# -- the archive -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgedArchive:
    """Archived objects that may go; `unknown` ones bronze does not know, and they stay."""

    objects: tuple[LandedObject, ...]
    unknown: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """How many go."""
        return len(self.objects)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(landed.size for landed in self.objects)


def aged_archive(archive: str, before: date, known: Callable[[Iterable[str]], set[str]]) -> AgedArchive:
    """The archived objects of days before `before` whose content bronze knows; nothing else ever goes.

    known  which of some source ids bronze holds
    Raises UnreadableError, OSError.
    """
    aged = [
        (source_id, landed)
        for source_id, places in archived(archive)
        for landed in places
        if (day := _day(day_of(landed))) is not None and day < before
    ]
    ledger = known({source_id for source_id, _ in aged}) if aged else set()
    unknown = dict.fromkeys(landed.uri.rpartition("/")[0] for source_id, landed in aged if source_id not in ledger)
    return AgedArchive(tuple(landed for source_id, landed in aged if source_id in ledger), tuple(unknown))


def drop_archived(found: AgedArchive) -> int:
    """Remove archived objects and the folders that this leaves empty; gives the number of files.

    Of a store with versions only the version that was listed goes. Raises UnreadableError, OSError.
    """
    removed = 0
    folders: dict[Path, None] = {}
    for landed in found.objects:
        path = path_of(landed.uri)
        if path is None:
            from carlake.landing import versions

            removed += versions.delete_as_read(landed) == "deleted"
            continue
        Path(path).unlink(missing_ok=True)
        removed += 1
        folders |= {Path(path).parent: None}
    for folder in [*folders, *dict.fromkeys(folder.parent for folder in folders)]:
        with suppress(OSError):  # not empty any more, or another process was faster
            folder.rmdir()
    return removed


def first_kept_day(now: datetime, days: int) -> date:
    """The first UTC day that stays."""
    return now.astimezone(UTC).date() - timedelta(days=days)


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
