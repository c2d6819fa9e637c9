"""Which data files a snapshot holds, and which came and went between two: read from manifests, which never change."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifest_readers import read_manifest, read_manifest_list
from carlake.errors import LakeError
from carlake.storage.kept import Kept

KIND = "carlake.kind"
HOLD = "carlake.hold"
"""Summary key of a hold; see `carlake.refresh.hold`. Here, since every snapshot that is staged carries it on."""
ERASURE = "erasure"
"""The kind of snapshots that remove a person's data: nothing of it may be left in their manifests either."""
# Snapshots of these kinds move rows between files, or drop rows that keep their meaning elsewhere: no row changes.
QUIET_KINDS = frozenset({"compaction", "retention"})

# An entry takes 4 to 14 KB in memory, and each commit brings new manifests that take the place of others.
_MOST, _FILES, _IDLE_SECONDS = 4096, 4096, 15.0
_entries = Kept[list[ManifestEntry]](_MOST, files=_FILES, idle_seconds=_IDLE_SECONDS)
_lists = Kept[list[ManifestFile]](_MOST, files=_FILES, idle_seconds=_IDLE_SECONDS)


@dataclass(frozen=True)
class FileChanges:
    """Data files that came and went between two snapshots."""

    added: tuple[DataFile, ...]
    gone: tuple[DataFile, ...]


def entries_of(io: FileIO, manifest: ManifestFile) -> list[ManifestEntry]:
    """All entries of a manifest, deleted ones too. Manifests are immutable, so a path is read once per process."""
    found = _entries.get(manifest.manifest_path)
    if found is None:
        found = read_manifest(io, manifest)
        remember_entries(manifest.manifest_path, found)
    return found


def manifests_of(io: FileIO, snapshot: Snapshot | None) -> list[ManifestFile]:
    """The manifests of a snapshot. Manifest lists are immutable, so a path is read once per process."""
    if snapshot is None:
        return []
    found = _lists.get(snapshot.manifest_list)
    if found is None:
        found = read_manifest_list(io.new_input(snapshot.manifest_list))
        remember_manifests(snapshot.manifest_list, found)
    return list(found)


def remember_entries(path: str, entries: list[ManifestEntry]) -> None:
    """Keep what a manifest holds, with everything that its entries inherit from it."""
    _entries.put(path, entries)


def remember_manifests(path: str, manifests: list[ManifestFile]) -> None:
    """Keep what a manifest list holds."""
    _lists.put(path, manifests)


def forget_cached() -> None:
    """Read every manifest and manifest list from its file again: for checks of what is really there."""
    _entries.clear()
    _lists.clear()


def _data_only(table: IcebergTable, file: DataFile) -> DataFile:
    if file.content != DataFileContent.DATA:
        raise LakeError(
            f"Table {'.'.join(table.name())} has delete files, written by another engine (for one, {file.file_path}).",
            "carlake writes none and reads none: rewrite the table's data files with the engine that made them, "
            "or drop the table and run `carlake rebuild`.",
        )
    return file


def live_files(table: IcebergTable, snapshot_id: int | None) -> list[DataFile]:
    """The data files of one snapshot, in no order. Raises LakeError where another engine left delete files."""
    snapshot = table.metadata.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
    if snapshot is None:
        return []
    return [
        _data_only(table, entry.data_file)
        for manifest in manifests_of(table.io, snapshot)
        for entry in entries_of(table.io, manifest)
        if entry.status != ManifestEntryStatus.DELETED
    ]


def ancestry(table: IcebergTable, until: int | None) -> list[Snapshot]:
    """The snapshot and its ancestors, newest first, as far as the metadata still knows them."""
    found = []
    while until is not None and (snapshot := table.metadata.snapshot_by_id(until)) is not None:
        found.append(snapshot)
        until = snapshot.parent_snapshot_id
    return found


def is_ancestor(table: IcebergTable, since: int | None, until: int | None) -> bool:
    """Whether `until` descends from `since`. No snapshot at all is everyone's ancestor while no history has expired."""
    line = ancestry(table, until)
    if since is None:
        # Expiry forgets parents, too: only the first sequence number tells that the line goes back to the beginning.
        return not line or (line[-1].parent_snapshot_id is None and line[-1].sequence_number == 1)
    return any(snapshot.snapshot_id == since for snapshot in line)


def quiet_between(
    table: IcebergTable, since: int | None, until: int | None, kinds: frozenset[str] = QUIET_KINDS
) -> int | None:
    """The number of snapshots after `since` up to `until` where all are of `kinds`, that change no row; else None."""
    for count, snapshot in enumerate(ancestry(table, until)):
        if snapshot.snapshot_id == since:
            return count
        if snapshot.summary is None or snapshot.summary.additional_properties.get(KIND) not in kinds:
            return None
    return None


def file_changes(table: IcebergTable, since: int | None, until: int | None) -> FileChanges | None:
    """The data files that came and went after `since` up to `until`; None where `since` is not an ancestor.

    Walks the ancestry and leaves out snapshots that change no row. The rows of `added` less those of `gone`, as
    multisets, are what changed: each snapshot that counts says what it added less what it took out, and those sums add
    up. A file is in the answer as often as it came more often than it went (or the other way round): a file that came,
    was compacted away and was brought back by a rollback came twice.
    """
    if not is_ancestor(table, since, until):
        return None
    balance: Counter[str] = Counter()
    files: dict[str, DataFile] = {}
    for snapshot in ancestry(table, until):
        if snapshot.snapshot_id == since:
            break
        summary = snapshot.summary
        if summary is not None and summary.additional_properties.get(KIND) in QUIET_KINDS:
            continue
        for manifest in manifests_of(table.io, snapshot):
            if manifest.added_snapshot_id != snapshot.snapshot_id:
                continue
            for entry in entries_of(table.io, manifest):
                if entry.snapshot_id != snapshot.snapshot_id or entry.status == ManifestEntryStatus.EXISTING:
                    continue
                file = _data_only(table, entry.data_file)
                files[file.file_path] = file
                balance[file.file_path] += 1 if entry.status == ManifestEntryStatus.ADDED else -1
    # Oldest first, as they came.
    came = [files[path] for path in reversed(files) for _ in range(balance[path])]
    went = [files[path] for path in reversed(files) for _ in range(-balance[path])]
    return FileChanges(tuple(came), tuple(went))
