"""A new snapshot, staged: its manifests and manifest list written, and the updates that will publish it.

Made from PyIceberg's manifest writers and not through its transactions: those copy the table's whole metadata at every
step, and their commit moves the base when it retries.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from copy import copy

from pyiceberg.manifest import (
    UNASSIGNED_SEQ,
    DataFile,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
)
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import (
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate

from carlake.engines.manifest_writers import write_manifest, write_manifest_list
from carlake.engines.manifests import (
    ERASURE,
    HOLD,
    KIND,
    ancestry,
    entries_of,
    manifests_of,
    remember_entries,
    remember_manifests,
)
from carlake.engines.protocol import Staged
from carlake.errors import CommitRefusedError
from carlake.storage.durable import NamedByContent

# So many small manifests are merged, so that planning a scan does not slow down from commit to commit.
_MERGE_AT = 40
# Entries of one manifest. A commit writes each manifest anew that has a file which goes, at 0.4 ms an entry: a table of
# 16,000 files in one manifest would take 6 s to correct an event.
_MOST_ENTRIES = 500


def stage_snapshot(
    iceberg: IcebergTable,
    name: str,
    added: Sequence[DataFile],
    removed: Sequence[DataFile],
    properties: Mapping[str, str],
    *,
    base: int | None,
    rows_added: int,
    rows_removed: int,
) -> Staged:
    """Write the manifests of a snapshot that adds and removes data files on `base`.

    A hold on the table is carried on, unless `properties` say otherwise: an empty one drops it.
    Raises CommitRefusedError where main, as loaded, already is another snapshot than `base`.
    """
    head = iceberg.current_snapshot()
    if (head.snapshot_id if head else None) != base:
        raise CommitRefusedError(f"Table {name} moved on from snapshot {base} while its refresh was computed.")
    stage = _Stage(iceberg)
    # Files of another partitioning come again with a rollback; a manifest has files of one partitioning alone.
    specs = dict.fromkeys(file.spec_id for file in added)
    manifests = [
        manifest
        for spec in specs
        for manifest in stage.manifests(
            added_entries(stage.snapshot_id, (file for file in added if file.spec_id == spec)), spec
        )
    ]
    manifests += stage.carried_over(head, removed, erases=properties.get(KIND) == ERASURE)
    own = {HOLD: hold} if HOLD not in properties and (hold := hold_on(iceberg)) else {}
    own |= {name: value for name, value in properties.items() if name != HOLD or value}
    summary = _summary(iceberg, head, added, removed, own)
    sequence_number = iceberg.metadata.next_sequence_number()
    output = NamedByContent(iceberg.io, stage.path(f"snap-{stage.snapshot_id}-0-{{}}.avro"))
    with write_manifest_list(
        format_version=iceberg.metadata.format_version,
        output_file=output,
        snapshot_id=stage.snapshot_id,
        parent_snapshot_id=base,
        sequence_number=sequence_number,
        avro_compression="gzip",
    ) as writer:
        writer.add_manifests(manifests)
    path = output.location
    stage.remember(path, manifests, sequence_number)
    snapshot = Snapshot(
        snapshot_id=stage.snapshot_id,
        parent_snapshot_id=base,
        manifest_list=path,
        sequence_number=sequence_number,
        summary=summary,
        schema_id=iceberg.metadata.current_schema_id,
    )
    return Staged(
        table=name,
        base=base,
        snapshot_id=stage.snapshot_id,
        updates=(
            AddSnapshotUpdate(snapshot=snapshot),
            SetSnapshotRefUpdate(
                snapshot_id=stage.snapshot_id,
                parent_snapshot_id=base,
                ref_name=MAIN_BRANCH,
                type=SnapshotRefType.BRANCH,
            ),
        ),
        rows_added=rows_added,
        rows_removed=rows_removed,
        data_files=tuple(file.file_path for file in added),
    )


def total_records(snapshot: Snapshot | None) -> int | None:
    """The rows of a table at a snapshot, as its summary counts them; None where it does not."""
    told = snapshot.summary.additional_properties.get("total-records") if snapshot and snapshot.summary else None
    return int(told) if told else None


def hold_on(iceberg: IcebergTable) -> str:
    """The hold that the table is under, as its summary holds it; empty where there is none.

    The newest snapshot that carlake made counts: another program's commit, which carries nothing on, ends no hold.
    """
    head = iceberg.current_snapshot()
    for snapshot in ancestry(iceberg, head.snapshot_id if head else None):
        properties = snapshot.summary.additional_properties if snapshot.summary else {}
        if KIND in properties:
            return str(properties.get(HOLD, ""))
    return ""


def added_entries(snapshot_id: int, files: Iterable[DataFile]) -> Iterable[ManifestEntry]:
    """The entries of a manifest for files that a snapshot adds."""
    # Sequence numbers are left out: the format has them inherited from the snapshot that is committed.
    return (
        ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED,
            snapshot_id=snapshot_id,
            sequence_number=None,
            file_sequence_number=None,
            data_file=file,
        )
        for file in files
    )


class _Stage:
    """The manifests of one snapshot under way."""

    def __init__(self, iceberg: IcebergTable) -> None:
        self.iceberg = iceberg
        self.snapshot_id: int = iceberg.metadata.new_snapshot_id()
        self.commit = uuid.uuid4()
        self._number = 0
        self._written: dict[str, list[ManifestEntry]] = {}

    def path(self, name: str) -> str:
        """A location in the table's metadata folder."""
        location: str = self.iceberg.location_provider().new_metadata_location(name)
        return location

    def manifests(self, entries: Iterable[ManifestEntry], spec_id: int) -> list[ManifestFile]:
        """Write entries of one partitioning to as many manifests as they need, those of one partition side by side."""
        ordered = list(entries)
        if len(ordered) > _MOST_ENTRIES:
            ordered.sort(key=lambda entry: repr(entry.data_file.partition))
        parts = [ordered[first : first + _MOST_ENTRIES] for first in range(0, len(ordered), _MOST_ENTRIES)]
        return [self.manifest(part, spec_id) for part in parts]

    def manifest(self, entries: Iterable[ManifestEntry], spec_id: int) -> ManifestFile:
        """Write one manifest."""
        # Two processes that carry over the same entries need two files, so the commit is in the name, too.
        path = self.path(f"{{}}-{self.commit.hex[:12]}-m{self._number}.avro")
        self._number += 1
        specs = self.iceberg.metadata.specs()
        with write_manifest(
            format_version=self.iceberg.metadata.format_version,
            spec=specs[spec_id],
            schema=self.iceberg.schema(),
            output_file=NamedByContent(self.iceberg.io, path),
            snapshot_id=self.snapshot_id,
            avro_compression="gzip",
        ) as writer:
            written = list(entries)
            for entry in written:
                writer.add_entry(entry)
        manifest = writer.to_manifest_file()
        self._written[manifest.manifest_path] = written
        return manifest

    def remember(self, manifest_list: str, manifests: Sequence[ManifestFile], sequence_number: int) -> None:
        """Spare this process reading what it has just written, with what a reader lets the parts inherit."""
        listed = []
        for manifest in manifests:
            kept = copy(manifest)
            if kept.sequence_number == UNASSIGNED_SEQ:
                kept.sequence_number = sequence_number
            if kept.min_sequence_number == UNASSIGNED_SEQ:
                kept.min_sequence_number = sequence_number
            listed.append(kept)
            for entry in self._written.get(kept.manifest_path, ()):
                if entry.sequence_number is None:
                    entry.sequence_number = entry.file_sequence_number = kept.sequence_number
                entry.data_file.spec_id = kept.partition_spec_id
        for path, entries in self._written.items():
            remember_entries(path, entries)
        remember_manifests(manifest_list, listed)

    def carried_over(self, head: Snapshot | None, removed: Sequence[DataFile], *, erases: bool) -> list[ManifestFile]:
        """The manifests of the snapshot before, without the removed files; those are written down as deleted.

        `erases`: what was removed must leave nothing behind. So every manifest is written anew, without what older
        snapshots deleted, and the removed files are written down without the bounds of their columns.
        """
        before = manifests_of(self.iceberg.io, head)
        gone_paths = {file.file_path for file in removed}
        manifests: list[ManifestFile] = []
        live: dict[int, list[ManifestEntry]] = {}
        gone: dict[int, list[ManifestEntry]] = {}
        small = [manifest for manifest in before if _live(manifest) <= _MOST_ENTRIES // 2]
        merged = {m.manifest_path for m in (before if erases else small if len(small) >= _MERGE_AT else ())}
        for manifest in before:
            merge = manifest.manifest_path in merged
            if not gone_paths and not merge:
                manifests.append(manifest)
                continue
            spec_id = manifest.partition_spec_id
            entries = [e for e in entries_of(self.iceberg.io, manifest) if e.status != ManifestEntryStatus.DELETED]
            kept = [e for e in entries if e.data_file.file_path not in gone_paths]
            if len(kept) == len(entries) and not merge:
                manifests.append(manifest)
                continue
            live.setdefault(spec_id, []).extend(_again(e, e.snapshot_id, ManifestEntryStatus.EXISTING) for e in kept)
            gone.setdefault(spec_id, []).extend(
                _again(e, self.snapshot_id, ManifestEntryStatus.DELETED, bare=erases)
                for e in entries
                if e.data_file.file_path in gone_paths
            )
        for by_spec in (live, gone):
            for spec_id, entries in by_spec.items():
                manifests += self.manifests(entries, spec_id)
        return manifests


def _live(manifest: ManifestFile) -> int:
    """Number of entries of files that are live in a manifest."""
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def _again(entry: ManifestEntry, snapshot_id: int, status: ManifestEntryStatus, *, bare: bool = False) -> ManifestEntry:
    """An entry of an older manifest, under another status; it keeps its sequence numbers. `bare`: not its bounds."""
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=_bare(entry.data_file) if bare else entry.data_file,
    )


def _bare(file: DataFile) -> DataFile:
    """A data file's description without values of its rows."""
    described = DataFile.from_args(
        content=file.content,
        file_path=file.file_path,
        file_format=file.file_format,
        partition=file.partition,
        record_count=file.record_count,
        file_size_in_bytes=file.file_size_in_bytes,
    )
    described.spec_id = file.spec_id
    return described


def _summary(
    iceberg: IcebergTable,
    head: Snapshot | None,
    added: Sequence[DataFile],
    removed: Sequence[DataFile],
    properties: Mapping[str, str],
) -> Summary:
    """The snapshot's summary: totals carried on from the snapshot before, and carlake's own properties."""
    collector = SnapshotSummaryCollector()
    schema, specs = iceberg.schema(), iceberg.metadata.specs()
    for file in added:
        collector.add_file(file, schema=schema, partition_spec=specs[file.spec_id])
    for file in removed:
        collector.remove_file(file, schema=schema, partition_spec=specs[file.spec_id])
    operation = Operation.OVERWRITE if removed else Operation.APPEND
    return update_snapshot_summaries(
        summary=Summary(operation=operation, **collector.build(), **properties),
        previous_summary=head.summary if head else None,
    )
