"""Some data files of a table, read by Spark as a table of their own.

A refresh reads a few files out of many: those that came and went, and those that may hold a key. Spark's Iceberg reads
a table at a snapshot; so the driver writes, beside its other scratch files, the metadata of a table that has these files
and no other, and Spark reads that: by field id, with `_file` and `_pos`, only the columns that a query needs, from any
store that Iceberg reaches. Nobody else sees such a table, and no file of it but metadata is ever written.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, write_manifest, write_manifest_list
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from carlake.engines.snapshots import added_entries

NAME = "carlake_files"
"""The name of the catalog that these tables are in."""

_CATALOG = f"spark.sql.catalog.{NAME}"
_NAMESPACE = "some"
# A worker's share of a file: small enough that a few files keep all cores busy.
_SPLIT_BYTES = 32 << 20


class FileSets:
    """The tables of one session, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._io = PyArrowFileIO()
        self._number = 0

    def clear(self) -> None:
        """Remove all tables that were made so far."""
        shutil.rmtree(self._folder / _NAMESPACE, ignore_errors=True)

    def conf(self, own: Mapping[str, str]) -> dict[str, str]:
        """Spark's properties of the catalog; `own` are those by which the lake's own catalog reaches files."""
        return {
            _CATALOG: "org.apache.iceberg.spark.SparkCatalog",
            f"{_CATALOG}.type": "hadoop",
            f"{_CATALOG}.warehouse": _location(self._folder),
            f"{_CATALOG}.cache-enabled": "false",
            **{f"{_CATALOG}.{key}": value for key, value in own.items()},
        }

    def table(self, iceberg: IcebergTable, files: Sequence[DataFile]) -> str:
        """Make a table of these files and no other, with the columns that `iceberg` has now; gives its name for Spark."""
        self._number += 1
        name = f"f{self._number}"
        folder = self._folder / _NAMESPACE / name / "metadata"
        folder.mkdir(parents=True)
        snapshot = self._snapshot(iceberg, files, folder)
        metadata = bare(iceberg.metadata).model_copy(
            update={
                "location": _location(folder.parent),
                "table_uuid": uuid.uuid4(),
                "current_snapshot_id": snapshot.snapshot_id,
                "snapshots": [snapshot],
                "refs": {
                    MAIN_BRANCH: SnapshotRef(snapshot_id=snapshot.snapshot_id, snapshot_ref_type=SnapshotRefType.BRANCH)
                },
                "last_sequence_number": 1,
                "properties": {"read.split.target-size": str(_SPLIT_BYTES), "read.split.open-file-cost": "65536"},
            }
        )
        (folder / "v1.metadata.json").write_text(metadata.model_dump_json(exclude_none=True), encoding="utf-8")
        (folder / "version-hint.text").write_text("1", encoding="utf-8")
        return f"{NAME}.{_NAMESPACE}.{name}"

    def _snapshot(self, iceberg: IcebergTable, files: Sequence[DataFile], folder: Path) -> Snapshot:
        snapshot_id = 1
        specs = iceberg.metadata.specs()
        manifests = []
        for spec_id in dict.fromkeys(file.spec_id for file in files):
            with write_manifest(
                format_version=2,
                spec=specs[spec_id],
                schema=iceberg.schema(),
                output_file=self._io.new_output(_location(folder / f"m{spec_id}.avro")),
                snapshot_id=snapshot_id,
                avro_compression="null",
            ) as writer:
                for entry in added_entries(snapshot_id, (file for file in files if file.spec_id == spec_id)):
                    writer.add_entry(entry)
            manifests.append(writer.to_manifest_file())
        path = _location(folder / "list.avro")
        with write_manifest_list(
            format_version=2,
            output_file=self._io.new_output(path),
            snapshot_id=snapshot_id,
            parent_snapshot_id=None,
            sequence_number=1,
            avro_compression="null",
        ) as listing:
            listing.add_manifests(manifests)
        return Snapshot(
            snapshot_id=snapshot_id,
            parent_snapshot_id=None,
            manifest_list=path,
            sequence_number=1,
            summary=Summary(operation=Operation.APPEND),
            schema_id=iceberg.metadata.current_schema_id,
        )


def _location(path: Path) -> str:
    """A local path as tables record it; bare, where a character of it would end or vanish from a URI."""
    text = str(path)
    return text if any(character in text for character in "#?\t\r\n") else f"file://{text}"


def bare(metadata: TableMetadata) -> TableMetadata:
    """A table's metadata without its history: its columns, partitioning and properties."""
    nothing: dict[str, Any] = {
        "snapshots": [],
        "snapshot_log": [],
        "metadata_log": [],
        "refs": {},
        "current_snapshot_id": None,
    }
    return metadata.model_copy(update={**nothing, "statistics": [], "partition_statistics": []})
