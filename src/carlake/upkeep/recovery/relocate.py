"""A lake that was moved or copied, made whole where it lies: its metadata is written anew with the paths of this place.

Iceberg records absolute paths in three kinds of files: metadata names manifest lists, these name manifests, and these
name data files. All three are written again, for every snapshot that the newest metadata file knows, so no history is
lost; data files hold no paths and stay as they are. Nothing that is there is changed: the new files lie beside the old
ones, which no snapshot names any more and maintenance removes. The last step is carlake.toml, so that a lake in which
this was broken off still counts as moved, and it begins again.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    ManifestContent,
    ManifestEntry,
    ManifestFile,
    ManifestWriter,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.table.snapshots import Snapshot

from carlake.catalogs.by_name import warehouse_location
from carlake.engines.manifest_readers import read_manifest, read_manifest_list
from carlake.lake import Lake
from carlake.storage.checksums import checksum
from carlake.storage.durable import DurableFileIO, NamedByContent
from carlake.upkeep.inspection.examined import ExaminedTable
from carlake.upkeep.inspection.lineage import MetadataFile
from carlake.upkeep.inspection.place import Place


def relocate(table: ExaminedTable, file: MetadataFile, place: Place) -> str:
    """Write a table's metadata anew; gives the location of the new metadata file. Nothing is visible before the catalog
    names it. A snapshot whose manifests cannot be read gets a list of them that is missing.
    """
    warehouse = warehouse_location(Lake(place.root, ""))
    move = _Move(table, file, place, warehouse)
    return move.metadata()


class _Move:
    def __init__(self, table: ExaminedTable, file: MetadataFile, place: Place, warehouse: str) -> None:
        self.table = table
        self.file = file
        self.place = place
        self.warehouse = warehouse
        self.io: FileIO = DurableFileIO()
        self.folder = self.here(f"{file.metadata.location.rstrip('/')}/metadata")
        self._manifests: dict[str, ManifestFile] = {}

    def here(self, location: str) -> str:
        return self.place.location(location, self.warehouse)

    def metadata(self) -> str:
        """Write the metadata file, after all that it names."""
        lists = {s.manifest_list: self.manifest_list(s) for s in self.file.metadata.snapshots}
        plain: dict[str, Any] = self._moved(
            json.loads(self.file.metadata.model_dump_json(by_alias=True, exclude_none=True))
        )
        for snapshot, before in zip(plain["snapshots"], self.file.metadata.snapshots, strict=True):
            snapshot["manifest-list"] = lists[before.manifest_list]
        # What it was made from speaks of the other place.
        plain["metadata-log"] = []
        metadata: TableMetadata = TableMetadataUtil.parse_obj(plain)
        content = metadata.model_dump_json(exclude_none=True, by_alias=True).encode()
        location = f"{self.folder}/{self.file.number + 1:05d}-{checksum(content)}.metadata.json"
        with self.io.new_output(location).create(overwrite=True) as stream:
            stream.write(content)
        return location

    def _moved(self, value: Any) -> Any:
        """Every path in the metadata, wherever it stands."""
        if isinstance(value, str):
            return self.here(value)
        if isinstance(value, dict):
            return {key: self._moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._moved(inner) for inner in value]
        return value

    def manifest_list(self, snapshot: Snapshot) -> str:
        """Write a snapshot's list of manifests, and each of them once."""
        try:
            listed = read_manifest_list(self.table.io.new_input(snapshot.manifest_list))
            moved = [kept for manifest in listed if (kept := self.manifest(manifest)) is not None]
        except Exception:  # noqa: BLE001  (damaged: the checks name it once the lake is in its place)
            # Not the file that is there: it names the other place, where its manifests may be read by mistake.
            return f"{self.folder}/snap-{snapshot.snapshot_id}-0-lost.avro"
        output = NamedByContent(self.io, f"{self.folder}/snap-{snapshot.snapshot_id}-0-{{}}.avro")
        with write_manifest_list(
            format_version=self.file.metadata.format_version,
            output_file=output,
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number or 0,
            avro_compression="gzip",
        ) as writer:
            writer.add_manifests(moved)
        location: str = output.location
        return location

    def manifest(self, manifest: ManifestFile) -> ManifestFile | None:
        """Write one manifest with the data files' paths here; everything else stays, sequence numbers too. None where
        it lists nothing.
        """
        if manifest.manifest_path in self._manifests:
            return self._manifests[manifest.manifest_path]
        entries = read_manifest(self.table.io, manifest)
        if not entries:
            return None
        metadata = self.file.metadata
        output = NamedByContent(self.io, f"{self.folder}/{{}}-{uuid.uuid4().hex[:12]}-m0.avro")
        with write_manifest(
            format_version=metadata.format_version,
            spec=metadata.specs()[manifest.partition_spec_id],
            schema=metadata.schema(),
            output_file=output,
            snapshot_id=manifest.added_snapshot_id or 0,
            avro_compression="gzip",
        ) as writer:
            if manifest.content == ManifestContent.DELETES:
                _of_deletes(writer)
            for entry in entries:
                writer.add_entry(self.entry(entry))
        moved = writer.to_manifest_file()
        kept = ManifestFile.from_args(
            manifest_path=moved.manifest_path,
            manifest_length=moved.manifest_length,
            partition_spec_id=manifest.partition_spec_id,
            content=manifest.content,
            sequence_number=manifest.sequence_number,
            min_sequence_number=manifest.min_sequence_number,
            added_snapshot_id=manifest.added_snapshot_id,
            added_files_count=manifest.added_files_count,
            existing_files_count=manifest.existing_files_count,
            deleted_files_count=manifest.deleted_files_count,
            added_rows_count=manifest.added_rows_count,
            existing_rows_count=manifest.existing_rows_count,
            deleted_rows_count=manifest.deleted_rows_count,
            partitions=manifest.partitions,
            key_metadata=manifest.key_metadata,
        )
        self._manifests[manifest.manifest_path] = kept
        return kept

    def entry(self, entry: ManifestEntry) -> ManifestEntry:
        """An entry whose data file lies here."""
        # The record's fields by their places in the format: the path is the second.
        entry.data_file._data[1] = self.here(entry.data_file.file_path)
        return entry


def _of_deletes(writer: ManifestWriter) -> None:
    """Let a manifest say that it lists delete files, which PyIceberg writes none of."""
    writer.content = lambda: ManifestContent.DELETES
