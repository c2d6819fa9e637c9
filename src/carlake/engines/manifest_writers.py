"""Manifests and manifest lists by PyIceberg's writers; what only a table's schema decides is worked out once a process.

PyIceberg derives the Avro schema and its tree of writers anew for every file: 5 ms each, four to eight files a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyiceberg import manifest as pyiceberg
from pyiceberg.avro.codecs import CODEC_MAPPING_ICEBERG_TO_AVRO
from pyiceberg.avro.file import (
    AVRO_CODEC_KEY,
    MAGIC,
    META_SCHEMA,
    SYNC_SIZE,
    AvroFileHeader,
    AvroOutputFile,
)
from pyiceberg.avro.resolver import construct_writer, resolve_writer
from pyiceberg.avro.writer import Writer
from pyiceberg.io import OutputFile
from pyiceberg.manifest import (
    DEFAULT_READ_VERSION,
    MANIFEST_LIST_FILE_SCHEMAS,
    ManifestListWriter,
    ManifestListWriterV2,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

SCHEMA_KEY = "avro.schema"
"""Key in the header of an Avro file, by its specification: the schema as JSON."""
# A lake has some ten tables, each with one schema and one or two partitionings at a time.
_MOST_SHAPES = 256


@dataclass(frozen=True)
class _Shape:
    """What the files of one kind have in common."""

    name: str
    schema: Schema
    json: str
    writer: Writer


_shapes: dict[tuple[str, ...], _Shape] = {}
_header = construct_writer(META_SCHEMA)


def write_manifest(
    format_version: int,
    spec: PartitionSpec,
    schema: Schema,
    output_file: OutputFile,
    snapshot_id: int,
    avro_compression: str,
) -> ManifestWriter:
    """As `pyiceberg.manifest.write_manifest`, and the same bytes."""
    make = _Manifest if format_version == 2 else lambda *of: pyiceberg.write_manifest(format_version, *of)
    return make(spec, schema, output_file, snapshot_id, avro_compression)


def write_manifest_list(
    format_version: int,
    output_file: OutputFile,
    snapshot_id: int,
    parent_snapshot_id: int | None,
    sequence_number: int | None,
    avro_compression: str,
) -> ManifestListWriter:
    """As `pyiceberg.manifest.write_manifest_list`, and the same bytes."""
    make = _ManifestList if format_version == 2 else lambda *of: pyiceberg.write_manifest_list(format_version, *of)
    return make(output_file, snapshot_id, parent_snapshot_id, sequence_number, avro_compression)


class _File(AvroOutputFile[Any]):  # type: ignore[misc]  # PyIceberg is untyped here
    """An Avro file of a known shape."""

    def __init__(self, output_file: OutputFile, shape: _Shape, metadata: dict[str, str]) -> None:
        self.output_file = output_file
        self.file_schema = shape.schema
        self.schema_name = shape.name
        self.sync_bytes = os.urandom(SYNC_SIZE)
        self.writer = shape.writer
        self.metadata = metadata
        self._json = shape.json

    def _write_header(self) -> None:
        codec = self.metadata[AVRO_CODEC_KEY]
        meta = {
            **self.metadata,
            SCHEMA_KEY: self._json,
            AVRO_CODEC_KEY: CODEC_MAPPING_ICEBERG_TO_AVRO.get(codec, codec),
        }
        _header.write(self.encoder, AvroFileHeader(MAGIC, meta, self.sync_bytes))


class _Manifest(ManifestWriterV2):  # type: ignore[misc]  # PyIceberg is untyped here
    def new_writer(self) -> AvroOutputFile[Any]:
        """Called by PyIceberg when it opens the file."""
        metadata = self._meta

        def shape() -> tuple[Schema, Schema]:
            return self._with_partition(self.version), self._with_partition(DEFAULT_READ_VERSION)

        # Both texts are in the file: they are all that its shape comes from.
        key = (metadata["schema"], metadata["partition-spec"])
        return _File(self._output_file, _shape("manifest_entry", key, shape), metadata)


class _ManifestList(ManifestListWriterV2):  # type: ignore[misc]  # PyIceberg is untyped here
    def __enter__(self) -> ManifestListWriter:
        def shape() -> tuple[Schema, Schema]:
            return MANIFEST_LIST_FILE_SCHEMAS[self._format_version], MANIFEST_LIST_FILE_SCHEMAS[DEFAULT_READ_VERSION]

        self._writer = _File(self._output_file, _shape("manifest_file", (), shape), self._meta)
        self._writer.__enter__()
        return self


def _shape(name: str, key: tuple[str, ...], schemas: Callable[[], tuple[Schema, Schema]]) -> _Shape:
    known = _shapes.get((name, *key))
    if known is None:
        file_schema, record_schema = schemas()
        text = json.dumps(AvroSchemaConversion().iceberg_to_avro(file_schema, schema_name=name))
        known = _Shape(name, file_schema, text, resolve_writer(record_schema=record_schema, file_schema=file_schema))
        if len(_shapes) >= _MOST_SHAPES:
            _shapes.clear()
        _shapes[name, *key] = known
    return known
