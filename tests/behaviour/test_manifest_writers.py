"""Manifests are PyIceberg's own, byte for byte, though their shape is worked out once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pyiceberg import manifest as pyiceberg
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DoubleType, NestedField, StringType, TimestamptzType

from carlake.engines import manifest_writers
from carlake.engines.snapshots import added_entries

PLAIN = Schema(NestedField(1, "car_chassis", StringType(), required=True))
WIDE = Schema(*PLAIN.fields, NestedField(2, "at", TimestamptzType()), NestedField(3, "km", DoubleType()))
BY_MONTH = PartitionSpec(PartitionField(2, PARTITION_FIELD_ID_START, MonthTransform(), "at_month"))
KINDS = [(PLAIN, PartitionSpec(), Record()), (WIDE, PartitionSpec(), Record()), (WIDE, BY_MONTH, Record(660))]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("codec", ["gzip", "null"])
def test_every_file_has_the_bytes_of_pyicebergs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, codec: str
) -> None:
    # What a block ends with is random in each file.
    monkeypatch.setattr(os, "urandom", lambda size: b"\x07" * size)

    def written(by: Any) -> list[bytes]:
        io = PyArrowFileIO()
        manifests = []
        for number, (schema, spec, partition) in enumerate(KINDS * 2):
            output = io.new_output(str(tmp_path / f"m{number}.avro"))
            file = pyiceberg.DataFile.from_args(
                file_path=f"f{number}.parquet",
                file_format="PARQUET",
                partition=partition,
                record_count=number,
                file_size_in_bytes=8,
                lower_bounds={1: b"a"},
            )
            with by.write_manifest(version, spec, schema, output, 7, codec) as writer:
                for entry in added_entries(7, [file]):
                    writer.add_entry(entry)
            manifests.append(writer.to_manifest_file())
        for parent in (None, 6):
            output = io.new_output(str(tmp_path / f"list{parent}.avro"))
            with by.write_manifest_list(version, output, 7, parent, 3, codec) as listing:
                listing.add_manifests(manifests)
        return [path.read_bytes() for path in sorted(tmp_path.iterdir())]

    theirs = written(pyiceberg)
    assert len(theirs) == 8 and len(set(theirs)) == 8
    for path in tmp_path.iterdir():
        path.unlink()
    assert written(manifest_writers) == theirs
