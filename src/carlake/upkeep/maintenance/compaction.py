"""Compaction: small data files of a partition merged into larger ones, sorted as the table is.

Which files: the shortest first, as long as the next one is no longer than all before it together. So a row is written
anew at most as often as the rows of its file double, and the files of a partition stay few: the scheme of log-structured
merge trees (O'Neil et al., 1996), with levels that come from the files alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifests import KIND, ancestry
from carlake.engines.protocol import Rewritten
from carlake.errors import CarlakeError, CommitRefusedError
from carlake.refresh.context import Context
from carlake.refresh.plan import BOOKMARK, Bookmark, head_of
from carlake.refresh.refresh import publish
from carlake.tables.table import Table
from carlake.upkeep.maintenance.files import DataFiles

COMPACTION = "compaction"
_TRIES = 5
# A file of so large a part of the aim is left alone.
_LARGE = 0.75


@dataclass(frozen=True)
class Merge(DataFiles):
    """Data files of one partition that become one, or as few as the aim allows."""


@dataclass(frozen=True)
class Merged:
    """What a compaction did: files and bytes before and after."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    snapshot_id: int


def merges(files: Sequence[DataFile], target_rows: int, least_files: int, all_small: bool = False) -> list[Merge]:
    """What is to be merged, the most files first.

    files        the live data files of a table
    target_rows  rows of a file as it should be
    least_files  fewer than so many are not worth a merge
    all_small    merge all small files of a partition, whatever their sizes
    """
    partitions: dict[object, list[DataFile]] = defaultdict(list)
    for file in files:
        if file.record_count < target_rows * _LARGE:
            partitions[file.spec_id, repr(file.partition)].append(file)
    found = []
    for small in partitions.values():
        small.sort(key=lambda file: (file.record_count, file.file_path))
        taken = len(small) if all_small else _worthwhile(small, least_files)
        if taken >= max(least_files, 2):
            found.append(Merge(tuple(small[:taken])))
    return sorted(found, key=lambda merge: -len(merge.files))


def _worthwhile(files: Sequence[DataFile], least_files: int) -> int:
    """How many of the files, shortest first, to merge: none, or all up to the end of the first long enough row of files
    that are each no longer than all before them together.
    """
    rows = in_a_row = 0
    for number, file in enumerate(files):
        if file.record_count > rows:
            if in_a_row >= least_files:
                return number
            in_a_row = 0
        in_a_row += 1
        rows += int(file.record_count)
    return len(files) if in_a_row >= least_files else 0


def due_for_a_look(iceberg: IcebergTable, least_files: int) -> bool:
    """Whether enough files came since the last compaction that could be found; reads no manifest."""
    head = iceberg.current_snapshot()
    came = 0
    for snapshot in ancestry(iceberg, head.snapshot_id if head else None):
        if snapshot.summary is None:
            continue
        if snapshot.summary.additional_properties.get(KIND) == COMPACTION:
            break
        came += int(snapshot.summary.additional_properties.get("added-data-files", 0))
        if came >= least_files:
            return True
    return False


def carried_on(context: Context, table: Table, kind: str, head: Snapshot, **more: object) -> dict[str, str]:
    """The summary of a snapshot that changes no meaning: it has the bookmark of the snapshot before, or none if that
    has none. (A hold is carried on by the staging.)
    """
    before = head.summary.additional_properties if head.summary else {}
    own = Bookmark(None, table.definition)
    properties = context.properties(table, kind, Bookmark.of(head) or own, **more)
    # As it stands there, not as this process would write it.
    return {name: before.get(name, "") if name == BOOKMARK else text for name, text in properties.items()}


def compact(context: Context, table: Table, chosen: Sequence[Merge]) -> Merged | None:
    """Merge the files and commit that as one snapshot; None where another writer changed one of them meanwhile.

    Nothing waits for it: a writer that comes between is let through, and the files, once written, are committed on top
    of what it did. Raises CarlakeError.
    """
    base = head_of(context.find(table.name))
    if base is None or not chosen:
        return None
    locations = [file.file_path for merge in chosen for file in merge.files]
    try:
        written = context.engine.rewrite(table, base, locations)
    except CommitRefusedError:
        return None
    if written.rows_before != written.rows_after:
        written.abandon()
        raise CarlakeError(
            f"Compaction of table {table.name} would have made {written.rows_after} rows of {written.rows_before}; "
            "nothing was changed.",
            "`carlake verify` finds the files at fault.",
        )
    snapshot = publish_rewritten(context, table, written, COMPACTION)
    if snapshot is None:
        return None
    return Merged(len(locations), written.files_after, written.bytes_before, written.bytes_after, snapshot)


def publish_rewritten(
    context: Context,
    table: Table,
    written: Rewritten,
    kind: str,
    still: Callable[[IcebergTable], bool] = lambda iceberg: True,
) -> int | None:
    """Commit rewritten files as a snapshot of a quiet kind, on whatever main is by then; gives its id.

    None where one of the files that go is not live any more, `still` says no to the table as it is then, or others were
    faster too often; what was written is removed then. Raises CommitUnknownError, and keeps the files.
    """
    sure = True
    for _ in range(_TRIES):
        iceberg = context.find(table.name)
        head = iceberg.current_snapshot() if iceberg else None
        if iceberg is None or head is None or not still(iceberg):
            break
        try:
            staged = written.stage(head.snapshot_id, carried_on(context, table, kind, head))
        except CommitRefusedError:
            break
        try:
            publish(context, staged, keep_files=True)
            return staged.snapshot_id
        except CommitRefusedError as refused:
            sure = sure and refused.surely_not_landed
    if sure:
        written.abandon()
    return None
