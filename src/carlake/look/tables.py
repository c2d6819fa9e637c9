"""What each table is and how far it has read: rows, snapshot, bookmark, columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifests import file_changes
from carlake.errors import CarlakeError
from carlake.refresh.causes import cause
from carlake.refresh.hold import Hold
from carlake.refresh.plan import Bookmark, changed_parts, head_of
from carlake.tables.table import Column, Table


@dataclass(frozen=True)
class TableInfo:
    """One table as it stands.

    rows               rows of the newest snapshot; 0 where there is none
    created, updated   when the table was made, when its newest snapshot was
    bookmark_source    the source's snapshot that the table has read up to
    rows_behind        source rows that came or went since; None where the bookmark is no ancestor of the source
    bookmark_day       the day the table was last judged by
    definition         the definition it was built with; `changed` names the parts that differ in this process
    trouble            why it cannot be refreshed or read: a mistake in a rules file, metadata that is missing
    """

    name: str
    doc: str
    exists: bool
    rows: int = 0
    files: int = 0
    size_bytes: int = 0
    created: datetime | None = None
    updated: datetime | None = None
    snapshot_id: int | None = None
    snapshots: int = 0
    source: str | None = None
    bookmark_source: int | None = None
    rows_behind: int | None = 0
    bookmark_day: date | None = None
    definition: str = ""
    changed: tuple[str, ...] = ()
    trouble: str = ""
    readable: bool = True
    held: Hold | None = None
    columns: tuple[Column, ...] = ()
    location: str = ""
    metadata_location: str = ""


def table_info(catalog: Catalog, namespace: str, tables: Mapping[str, Table], name: str) -> TableInfo:
    """What is known of one declared table. What cannot be read of it is said in `trouble`, so that the others are shown."""
    try:
        return _info(catalog, namespace, tables, name)
    except (OSError, ValueError, CarlakeError) as error:
        table = tables[name]
        return TableInfo(
            name,
            table.doc,
            exists=True,
            source=table.source,
            columns=table.columns,
            trouble=cause(error),
            readable=False,
            rows_behind=None,
        )


def _info(catalog: Catalog, namespace: str, tables: Mapping[str, Table], name: str) -> TableInfo:
    table = tables[name]
    iceberg = _load(catalog, namespace, name)
    if iceberg is None:
        return TableInfo(name, table.doc, exists=False, source=table.source, columns=table.columns)
    head = iceberg.current_snapshot()
    summary: Mapping[str, str] = head.summary.additional_properties if head and head.summary else {}
    mark = Bookmark.of(head)
    created = iceberg.properties.get("carlake.created-at")
    derived = table.source in tables
    return TableInfo(
        name=name,
        doc=table.doc,
        exists=True,
        rows=int(summary.get("total-records", 0)),
        files=int(summary.get("total-data-files", 0)),
        size_bytes=int(summary.get("total-files-size", 0)),
        created=datetime.fromisoformat(created) if created else None,
        updated=datetime.fromtimestamp(head.timestamp_ms / 1000, UTC) if head else None,
        snapshot_id=head.snapshot_id if head else None,
        snapshots=len(iceberg.metadata.snapshots),
        source=table.source,
        bookmark_source=mark.source if mark else None,
        rows_behind=_behind(catalog, namespace, table, mark) if derived else 0,
        bookmark_day=mark.day if mark else None,
        definition=mark.definition if mark else "",
        changed=changed_parts(table, mark) if mark and mark.definition != table.definition and not table.broken else (),
        trouble=table.broken,
        held=Hold.of(iceberg),
        columns=table.columns,
        location=iceberg.location(),
        metadata_location=iceberg.metadata_location,
    )


def _load(catalog: Catalog, namespace: str, name: str) -> IcebergTable | None:
    try:
        return catalog.load_table(f"{namespace}.{name}")
    except NoSuchTableError:
        return None


def _behind(catalog: Catalog, namespace: str, table: Table, mark: Bookmark | None) -> int | None:
    """Source rows that came or went since the bookmark."""
    assert table.source is not None
    source = _load(catalog, namespace, table.source)
    if source is None:
        return 0
    changes = file_changes(source, mark.source if mark else None, head_of(source))
    if changes is None:
        return None
    return sum(int(file.record_count) for file in (*changes.added, *changes.gone))
