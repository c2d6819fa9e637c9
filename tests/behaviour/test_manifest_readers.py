"""What is read from manifests is what PyIceberg reads, though the schema in them is looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyiceberg import manifest as pyiceberg
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DoubleType, NestedField, StringType, TimestamptzType

from carlake.engines.manifest_readers import _reader, read_manifest, read_manifest_list

WIDE = Schema(
    NestedField(1, "car_chassis", StringType(), required=True),
    NestedField(2, "at", TimestamptzType()),
    NestedField(3, "km", DoubleType()),
)
BY_MONTH = PartitionSpec(PartitionField(2, PARTITION_FIELD_ID_START, MonthTransform(), "at_month"))
BY_CAR = PartitionSpec(PartitionField(1, PARTITION_FIELD_ID_START, IdentityTransform(), "car"), spec_id=1)
# Two partitionings whose values have other types, each twice: the second of a kind is read by what the first left.
KINDS = [(PartitionSpec(), Record()), (BY_MONTH, Record(660)), (BY_CAR, Record("CAR1"))] * 2


def plain(value: Any) -> Any:
    """Everything in a record, by its class and in the order of its fields."""
    if isinstance(value, Record):
        return type(value).__name__, [plain(inner) for inner in value._data]
    if isinstance(value, Mapping):
        return dict(value)
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", [1, 2])
def test_every_field_is_as_pyiceberg_reads_it(tmp_path: Path, version: int) -> None:
    io = PyArrowFileIO()
    manifests = []
    for number, (spec, partition) in enumerate(KINDS):
        with pyiceberg.write_manifest(
            version, spec, WIDE, io.new_output(str(tmp_path / f"m{number}.avro")), 7, "gzip"
        ) as writer:
            for of in range(3):
                file = pyiceberg.DataFile.from_args(
                    file_path=f"f{number}-{of}.parquet",
                    file_format="PARQUET",
                    partition=partition,
                    record_count=number,
                    file_size_in_bytes=8 + of,
                    column_sizes={1: 4},
                    lower_bounds={1: b"a"},
                )
                status = pyiceberg.ManifestEntryStatus(of)
                of_its_own = {} if status.name == "ADDED" else {"sequence_number": 2, "file_sequence_number": 1}
                writer.add_entry(
                    pyiceberg.ManifestEntry.from_args(status=status, snapshot_id=7, data_file=file, **of_its_own)
                )
        manifests.append(writer.to_manifest_file())
    listed = io.new_output(str(tmp_path / "list.avro"))
    with pyiceberg.write_manifest_list(version, listed, 7, 6, 3, "gzip") as listing:
        listing.add_manifests(manifests)

    _reader.cache_clear()
    found = read_manifest_list(listed.to_input_file())
    theirs = list(pyiceberg.read_manifest_list(listed.to_input_file()))
    assert len(found) == 6 and plain(found) == plain(theirs)
    for manifest in found:
        entries = read_manifest(io, manifest)
        expected = manifest.fetch_manifest_entry(io, discard_deleted=False)
        assert len(entries) == 3 and plain(entries) == plain(expected)
        assert [entry.data_file.spec_id for entry in entries] == [manifest.partition_spec_id] * 3
    # One for the list, one for each partitioning.
    assert (_reader.cache_info().misses, _reader.cache_info().hits) == (4, 3)


def test_a_file_without_a_schema_is_said_to_have_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.avro"
    broken.write_bytes(b"Obj\x01" + b"\x00" * 17)
    with pytest.raises(ValueError, match="No schema"):
        read_manifest_list(PyArrowFileIO().new_input(str(broken)))
