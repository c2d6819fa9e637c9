"""Rows of ops_runs that are older than they are to be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyiceberg.conversions import from_bytes
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import TimestamptzType

from carlake.engines.manifests import live_files
from carlake.errors import CommitRefusedError
from carlake.refresh.context import Context
from carlake.refresh.plan import head_of
from carlake.refresh.refresh import publish
from carlake.tables.declare import OPS_RUNS
from carlake.upkeep.maintenance.compaction import carried_on

RETENTION = "retention"
# Files are written anew for a day's rows at the least, not for each row as it comes of age.
_SLACK = timedelta(days=1)


def cutoff(now: datetime, days: int) -> datetime:
    """The moment before which rows may go: the beginning of a UTC day."""
    return datetime.combine((now.astimezone(UTC) - timedelta(days=days)).date(), datetime.min.time(), UTC)


def due(iceberg: IcebergTable, before: datetime) -> bool:
    """Whether there are rows to prune, by the bounds of the files."""
    field = iceberg.schema().find_field("started_at").field_id
    limit = int((before - _SLACK).timestamp() * 1_000_000)
    return any(
        (bound := file.lower_bounds.get(field)) is not None and from_bytes(TimestamptzType(), bound) < limit
        for file in live_files(iceberg, head_of(iceberg))
    )


def prune(context: Context, before: datetime) -> int:
    """Remove the rows of runs that began before a moment; gives their number, 0 where another writer came between."""
    engine, table = context.engine, context.tables[OPS_RUNS]
    iceberg = context.find(OPS_RUNS)
    head = iceberg.current_snapshot() if iceberg else None
    if head is None:
        return 0
    rows = engine.scan(OPS_RUNS, head.snapshot_id, located=True)
    moment = f"TIMESTAMPTZ '{before:%Y-%m-%d %H:%M:%S}+00'"
    old = engine.keep(f"SELECT _file, _pos FROM {rows} WHERE started_at < {moment}")
    count = engine.count(old)
    if not count:
        return 0
    try:
        publish(context, engine.stage(table, head.snapshot_id, old, None, carried_on(context, table, RETENTION, head)))
    except CommitRefusedError:
        return 0
    return count
