"""Snapshot expiry: which snapshots of a table nobody needs any more, and their removal from the metadata.

Commits slow down with the number of snapshots, since each rewrites the list of them. The files that only expired
snapshots referred to are removed later: see `carlake.upkeep.maintenance.departed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import TableProperties
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import RemoveSnapshotsUpdate, SetPropertiesUpdate, TableUpdate

from carlake.engines.manifests import KIND, ancestry
from carlake.engines.protocol import Staged
from carlake.errors import CommitRefusedError
from carlake.refresh.commit import commit
from carlake.refresh.context import Context
from carlake.upkeep.maintenance.departed import note
from carlake.upkeep.maintenance.files import TableFiles
from carlake.upkeep.maintenance.old_runs import RETENTION
from carlake.upkeep.maintenance.references import departing

# A snapshot that no branch or tag leads to may be another program's work under way.
_STRAY_MILLISECONDS = 24 * 3600 * 1000


def expirable(
    iceberg: IcebergTable,
    keep: int,
    most: int,
    read_up_to: Iterable[int | None],
    beside: Iterable[int | None] = (),
    not_before: datetime | None = None,
) -> list[int]:
    """The snapshots that may go, oldest first.

    keep        so many of main's newest snapshots stay, but none from before rows were removed for their age
    most        for a consumer that is behind, main's history stays in one piece up to so many snapshots; beyond that only
                the snapshot that it has read up to does, and its next refresh reads everything
    read_up_to  the snapshots in the bookmarks of the tables that are made from this one
    beside      single snapshots that stay, too: those in the bookmarks of these tables' earlier snapshots
    not_before  of the newest snapshots those from before this moment do not stay, but for the newest of all

    Tags, other branches with all their history, and what may be another program's work under way stay, too. What carlake
    committed before the oldest of main that is known was main's once: one that went in between cut it off.
    """
    metadata = iceberg.metadata
    kept = ancestry(iceberg, metadata.current_snapshot_id)
    line = [snapshot.snapshot_id for snapshot in kept]
    place = {snapshot: number for number, snapshot in enumerate(line)}
    stay: set[int | None] = {*_recent(kept, keep, not_before), *beside}
    for snapshot in read_up_to:
        number = place.get(snapshot) if snapshot is not None else None
        if number is not None:
            stay |= set(line[: number + 1]) if number < most else {line[number]}
    newest = max((snapshot.timestamp_ms for snapshot in metadata.snapshots), default=0)
    since = min((snapshot.sequence_number or 0 for snapshot in kept), default=0)
    led_to = {*line, *(s.snapshot_id for s in metadata.snapshots if (s.sequence_number or 0) < since and _ours(s))}
    for name, ref in metadata.refs.items():
        if name == MAIN_BRANCH:
            continue
        stay.add(ref.snapshot_id)
        if ref.snapshot_ref_type == SnapshotRefType.BRANCH:
            own = [snapshot.snapshot_id for snapshot in ancestry(iceberg, ref.snapshot_id)]
            stay |= set(own) - set(line)
        led_to.add(ref.snapshot_id)
    return [
        snapshot.snapshot_id
        for snapshot in sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0)
        if snapshot.snapshot_id not in stay
        and (snapshot.snapshot_id in led_to or newest - snapshot.timestamp_ms > _STRAY_MILLISECONDS)
    ]


def _ours(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and KIND in snapshot.summary.additional_properties


def _recent(line: Sequence[Snapshot], keep: int, not_before: datetime | None) -> list[int]:
    """The snapshots of main, given newest first, that stay as the newest."""
    found: list[int] = []
    oldest = not_before.timestamp() * 1000 if not_before else 0
    for snapshot in line[:keep]:
        if found and snapshot.timestamp_ms < oldest:
            break
        found.append(snapshot.snapshot_id)
        if snapshot.summary and snapshot.summary.additional_properties.get(KIND) == RETENTION:
            break
    return found


def expire(context: Context, table: str, going: Sequence[int], folder: Path, keep_metadata_files: int) -> int:
    """Take snapshots out of a table's metadata; gives the number of files that this leaves without a reference.

    Those files are written down in `folder` first, so that a crash leaves them known. Raises CommitRefusedError where
    main moved meanwhile; nothing is lost by that.
    """
    iceberg = context.engine.load(table)
    head = iceberg.metadata.current_snapshot_id
    assert head is not None
    assert head not in going
    files = TableFiles(iceberg)
    leaving = [files.path(location) for location in departing(iceberg, set(going))]
    note(folder, table, leaving)
    updates: list[TableUpdate] = [RemoveSnapshotsUpdate(snapshot_ids=list(going))]
    log = {TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: str(keep_metadata_files)}
    if log.items() - iceberg.properties.items():
        updates.insert(0, SetPropertiesUpdate(updates=log))
    # No snapshot is made, so the commit is known by main's own. If its answer is lost it counts as landed: the next
    # time sees what is still there, and files go only once no metadata refers to them.
    try:
        commit(context.catalog, iceberg, Staged(table, head, head, tuple(updates), 0, 0))
    except ValueError as error:
        # Another program has expired one of them since; it is only looked at again.
        raise CommitRefusedError(f"Table {table}: {error}") from error
    return len(leaving)
