"""Objects that silver and quarantine have rows of and bronze has not: those whose records retention removed, and others.

Of the first, one marker row is made again: without it a run would drop rows that nothing could make again. An object that
was lost with its file gets none: bronze would know it, and it could not be landed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.types import StringType

from carlake.engines.manifests import KIND
from carlake.storage.store_paths import parquet
from carlake.tables.declare import BRONZE, QUARANTINE, SILVER
from carlake.upkeep.inspection.examined import file_trouble
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.maintenance.old_runs import RETENTION, cutoff

_SINCE = {SILVER: "ingested_at", QUARANTINE: "quarantined_at"}
"""What tells how old an object is: when it was landed or, of a record in quarantine, when it was put there."""


@dataclass
class Known:
    """What silver and quarantine know of an object.

    rows     how many of its records
    since    when it was landed; never before that, where quarantine alone knows it
    """

    rows: int
    since: datetime


def known_objects(lake: Inspection) -> dict[str, Known]:
    """The objects that silver and quarantine have rows of, as far as their files can be read."""
    found: dict[str, Known] = {}
    for name, since in _SINCE.items():
        for file in lake.files(name).data:
            path = lake.tables[name].place.path(file.file_path)
            if file_trouble(path, None, deep=True):
                continue
            rows = pa.table(pq.read_table(parquet(path), columns=["source_id", "source_row", since]))
            told = rows.group_by("source_id").aggregate([("source_row", "count_distinct"), (since, "min")])
            for row in told.to_pylist():
                told_at = row[f"{since}_min"] or lake.now
                known = found.setdefault(row["source_id"], Known(0, told_at))
                known.rows += row["source_row_count_distinct"]
                known.since = min(known.since, told_at)
    return found


def without_records(
    lake: Inspection, objects: Mapping[str, Known], lost: Sequence[DataFile], *, told: bool
) -> set[str]:
    """Those of `objects` that nothing else has any more whose records retention has removed, or was about to.

    lost  the data files of bronze that cannot be read
    told  whether bronze's manifests say all of these
    """
    oldest = sorted(objects, key=lambda source_id: (objects[source_id].since, source_id))
    days = lake.settings.bronze_retention_days
    before = cutoff(lake.now, days) if days else None
    if not told and (removed := _last_removal(lake)) is not None:
        before = removed if before is None else max(before, removed)
    found = {source_id for source_id in oldest if before is not None and objects[source_id].since < before}
    # Retention may be off since. What the lost files are known to have held tells the same, and it takes the oldest.
    for file in lost:
        first, last = bounds_of(lake, file)
        inside = [source_id for source_id in oldest if first <= source_id <= last]
        found.update(inside[: markers_in(lake, file)])
    return found


def markers_in(lake: Inspection, file: DataFile) -> int:
    """How many marker rows a data file of bronze holds, by its description."""
    return int((file.null_value_counts or {}).get(_field(lake, "record_hash"), 0))


def bounds_of(lake: Inspection, file: DataFile | None) -> tuple[str, str]:
    """The first and the last object that a data file of bronze may hold, by its description."""
    if file is None:
        return "", "~"
    field = _field(lake, "source_id")
    first, last = (file.lower_bounds or {}).get(field), (file.upper_bounds or {}).get(field)
    if first is None or last is None:
        return "", "~"
    return str(from_bytes(StringType(), first)), str(from_bytes(StringType(), last))


def _field(lake: Inspection, column: str) -> int:
    best = lake.best(BRONZE)
    return best.metadata.schema().find_field(column).field_id if best is not None else -1


def _last_removal(lake: Inspection) -> datetime | None:
    """When retention last removed records of bronze, as far as its snapshots tell."""
    best = lake.best(BRONZE)
    times = [
        snapshot.timestamp_ms
        for snapshot in (best.metadata.snapshots if best else [])
        if snapshot.summary and snapshot.summary.additional_properties.get(KIND) == RETENTION
    ]
    return datetime.fromtimestamp(max(times) / 1000, UTC) if times else None
