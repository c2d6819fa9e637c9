"""Which run made a row: not the newest that wrote its file anew, with the row in it as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.engines.duckdb.files import local_path
from carlake.engines.manifests import entries_of, manifests_of
from carlake.engines.schemas import arrow_schema
from carlake.look.traced import Written
from carlake.refresh.context import RUN_PROPERTY
from carlake.storage.durable import places_of
from carlake.tables.table import Table


def writers(iceberg: IcebergTable, head: int | None) -> dict[str, int | None]:
    """The snapshot that added each data file of a snapshot, by the file's path."""
    snapshot = iceberg.metadata.snapshot_by_id(head) if head is not None else None
    return {
        local_path(entry.data_file.file_path): entry.snapshot_id
        for entry in _entries(iceberg, snapshot)
        if entry.status != ManifestEntryStatus.DELETED
    }


def origin(
    engine: DuckDBEngine,
    table: Table,
    iceberg: IcebergTable,
    writer: int | None,
    row: Mapping[str, Any],
    columns: Sequence[str],
) -> Written:
    """The snapshot in which a row first was as it is now, as far back as history is kept; nothing where it is not.

    writer   the snapshot that added the file in which the row lies now
    columns  those that tell the row, `row` has them

    A snapshot that adds the row's file and takes out another in which the row lay too has only carried it over.
    """
    wanted = engine.table(
        pa.Table.from_pylist(
            [{name: row[name] for name in columns}], schema=arrow_schema([table.column(name) for name in columns])
        )
    )
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM w.{name}" for name in columns)
    while (snapshot := iceberg.metadata.snapshot_by_id(writer) if writer is not None else None) is not None:
        before = _taken_out(iceberg, snapshot)
        places = places_of(iceberg.io)
        if not all(places.exists(file.file_path) for file in before):
            return Written()
        files = engine.files(table, before, iceberg, located=True)
        found = (
            engine.rows(f"SELECT r._file FROM ({files}) AS r JOIN {wanted} AS w ON {same} LIMIT 1") if before else []
        )
        if not found:
            run = snapshot.summary.additional_properties.get(RUN_PROPERTY) if snapshot.summary else None
            return Written(snapshot.snapshot_id, run, datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC))
        writer = writers(iceberg, snapshot.parent_snapshot_id).get(str(found[0][0]))
    return Written()


def _taken_out(iceberg: IcebergTable, snapshot: Snapshot) -> list[DataFile]:
    return [
        entry.data_file
        for entry in _entries(iceberg, snapshot)
        if entry.status == ManifestEntryStatus.DELETED and entry.snapshot_id == snapshot.snapshot_id
    ]


def _entries(iceberg: IcebergTable, snapshot: Snapshot | None) -> list[ManifestEntry]:
    return [entry for manifest in manifests_of(iceberg.io, snapshot) for entry in entries_of(iceberg.io, manifest)]
