"""Manifests and manifest lists by PyIceberg's readers; what only the schema in a file decides is worked out once a process.

PyIceberg derives the schema and its tree of readers anew for every file: 4 ms each, where the entries of a small file take
0.3. Nothing of what a file holds is kept.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Literal

from pyiceberg import manifest as pyiceberg
from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.file import META_SCHEMA, AvroFile, AvroFileHeader
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import construct_reader, resolve_reader
from pyiceberg.io import FileIO, InputFile
from pyiceberg.manifest import (
    DEFAULT_READ_VERSION,
    MANIFEST_ENTRY_SCHEMAS,
    MANIFEST_LIST_FILE_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    PartitionFieldSummary,
)
from pyiceberg.schema import Schema
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

from carlake.engines.manifest_writers import SCHEMA_KEY

_Kind = Literal["manifest", "manifest list"]

# By the ids of fields in Iceberg's specification, as in PyIceberg's own two readers; -1 is the record itself.
_AS: dict[_Kind, tuple[Schema, dict[int, Any], dict[int, Any]]] = {
    "manifest": (
        MANIFEST_ENTRY_SCHEMAS[DEFAULT_READ_VERSION],
        {-1: ManifestEntry, 2: DataFile},
        {0: ManifestEntryStatus, 101: FileFormat, 134: DataFileContent},
    ),
    "manifest list": (
        MANIFEST_LIST_FILE_SCHEMAS[DEFAULT_READ_VERSION],
        {-1: ManifestFile, 508: PartitionFieldSummary},
        {517: ManifestContent},
    ),
}
_header = construct_reader(META_SCHEMA, {-1: AvroFileHeader})


def read_manifest(io: FileIO, manifest: ManifestFile) -> list[ManifestEntry]:
    """As `ManifestFile.fetch_manifest_entry`, with the deleted entries: they inherit what the manifest says for all."""
    with _File(io.new_input(manifest.manifest_path), "manifest") as entries:
        return [pyiceberg._inherit_from_manifest(entry, manifest) for entry in entries]


def read_manifest_list(input_file: InputFile) -> list[ManifestFile]:
    """As `pyiceberg.manifest.read_manifest_list`, whole."""
    with _File(input_file, "manifest list") as manifests:
        return list(manifests)


# A lake has some ten tables, each with one schema and one or two partitionings at a time; other engines write their own text.
@lru_cache(maxsize=256)
def _reader(schema: str, kind: _Kind) -> tuple[Schema, Reader]:
    written = AvroSchemaConversion().avro_to_iceberg(json.loads(schema))
    return written, resolve_reader(written, *_AS[kind])


class _File(AvroFile[Any]):  # type: ignore[misc]  # PyIceberg is untyped here
    """An Avro file whose schema was perhaps seen before."""

    def __init__(self, input_file: InputFile, kind: _Kind) -> None:
        super().__init__(input_file)
        self._kind = kind

    def __enter__(self) -> _File:
        with self.input_file.open() as file:
            self.decoder = new_decoder(file.read())
        self.header = _header.read(self.decoder)
        if SCHEMA_KEY not in self.header.meta:
            raise ValueError("No schema found in Avro file headers")
        self.schema, self.reader = _reader(self.header.meta[SCHEMA_KEY], self._kind)
        return self
