"""Which files a table's metadata refers to, and which of them only some snapshots do."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pyiceberg.manifest import ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifests import entries_of, manifests_of
from carlake.upkeep.maintenance.files import TableFiles


def referenced(iceberg: IcebergTable, files: TableFiles) -> set[str]:
    """Every file that the table needs as it is loaded: for each of its snapshots, and its newest metadata files."""
    snapshots = iceberg.metadata.snapshots
    found = {files.path(snapshot.manifest_list) for snapshot in snapshots}
    manifests = _manifests(iceberg, snapshots)
    found |= {files.path(path) for path in manifests}
    found |= {files.path(path) for path in _live(iceberg, manifests.values())}
    found |= {files.path(statistics.statistics_path) for statistics in iceberg.metadata.statistics}
    found |= {files.path(statistics.statistics_path) for statistics in iceberg.metadata.partition_statistics}
    found |= {files.path(logged.metadata_file) for logged in iceberg.metadata.metadata_log}
    found.add(files.path(iceberg.metadata_location))
    return found


def departing(iceberg: IcebergTable, going: Collection[int]) -> list[str]:
    """The files, as the metadata records them, that nothing refers to once the snapshots `going` are removed."""
    stay = [snapshot for snapshot in iceberg.metadata.snapshots if snapshot.snapshot_id not in going]
    gone = [snapshot for snapshot in iceberg.metadata.snapshots if snapshot.snapshot_id in going]
    kept, dropped = _manifests(iceberg, stay), _manifests(iceberg, gone)
    dropped = {path: manifest for path, manifest in dropped.items() if path not in kept}
    # A file that went before the oldest kept snapshot stands in manifests that go, or as deleted in one that stays.
    named = {
        entry.data_file.file_path
        for manifest in (*dropped.values(), *kept.values())
        for entry in entries_of(iceberg.io, manifest)
    }
    lists = [snapshot.manifest_list for snapshot in gone]
    statistics = [
        statistics.statistics_path
        for statistics in (*iceberg.metadata.statistics, *iceberg.metadata.partition_statistics)
        if statistics.snapshot_id in going
    ]
    return [*lists, *dropped, *sorted(named - _live(iceberg, kept.values())), *statistics]


def _manifests(iceberg: IcebergTable, snapshots: Iterable[Snapshot]) -> dict[str, ManifestFile]:
    return {
        manifest.manifest_path: manifest for snapshot in snapshots for manifest in manifests_of(iceberg.io, snapshot)
    }


def _live(iceberg: IcebergTable, manifests: Iterable[ManifestFile]) -> set[str]:
    """Data and delete files that the manifests hold, without those that they only say to be deleted."""
    return {
        entry.data_file.file_path
        for manifest in manifests
        for entry in entries_of(iceberg.io, manifest)
        if entry.status != ManifestEntryStatus.DELETED
    }
