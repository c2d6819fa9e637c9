"""Rows become data files in Spark's workers, which nobody sees before the driver's commit.

Each task sorts and writes its share with the code of the embedded engine, so that files, their names and what manifests
say of them are the same whoever wrote them. A task that is tried twice leaves files that no commit names: orphans.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import load_file_io
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadataUtil
from pyiceberg.typedef import Record

from carlake.engines.data_files import arrow_schema
from carlake.engines.new_files import WrittenFile
from carlake.engines.sorted_files import cut, new_file, write_sorted
from carlake.engines.spark.file_sets import bare
from carlake.storage.durable import places_of, settle
from carlake.tables.table import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WRITTEN = "location string, size bigint, partition string, footer binary"
"""What a task tells of each file, as Spark's schema: `partition` is JSON, `footer` that of the Parquet file."""

# Partition transforms of the Iceberg spec, as SQL of Spark that gives the partition's value.
_PARTITION_SQL = {
    "identity": "{0}",
    "day": "CAST(datediff(to_date({0}), DATE '1970-01-01') AS INT)",
    "month": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INT)",
}


@dataclass(frozen=True)
class Writing:
    """What a worker needs to write rows of a table.

    metadata    of the Iceberg table, as JSON, without its history; `properties` are those of its file access
    parts       the columns that hold the partition's values
    named       what is in the names of its files
    """

    table: Table
    metadata: str
    properties: Mapping[str, str]
    parts: Sequence[str]
    target_file_rows: int
    named: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """In a worker: write the sorted rows of one partition of Spark's."""
        iceberg = self._iceberg()
        schema = arrow_schema(iceberg, self.table)
        told: list[tuple[str, int, str, bytes]] = []
        for values, rows in cut(batches, self.parts, self.target_file_rows):
            written = write_sorted(new_file(iceberg, values, None, self.named), rows, schema)
            footer = io.BytesIO()
            written.footer.write_metadata_file(footer)
            told.append((written.location, written.size, json.dumps(values), footer.getvalue()))
        settle()
        if told:
            names = ["location", "size", "partition", "footer"]
            yield pa.record_batch([pa.array(column) for column in zip(*told, strict=True)], names=names)

    def _iceberg(self) -> IcebergTable:
        metadata = TableMetadataUtil.parse_raw(self.metadata)
        file_io = load_file_io(dict(self.properties), metadata.location)
        return IcebergTable((self.table.name,), metadata, metadata.location, file_io, NoopCatalog(""))


def sorted_by_place(
    rows: DataFrame, table: Table, iceberg: IcebergTable, *, alone: bool = False
) -> tuple[DataFrame, list[str]]:
    """The rows with their partition's values in columns of their own, in the order of the files; and those columns.

    Each task gets a range of that order, so that files hardly overlap, or one task (`alone`) gets all. How many ranges
    there are is for Spark to say, by what its tasks pass on.
    """
    names = [f"`{column}`" for column in table.column_names]
    terms = []
    for number, field in enumerate(iceberg.spec().fields):
        column = iceberg.schema().find_column_name(field.source_id)
        terms.append(f"{_PARTITION_SQL[str(field.transform)].format(f'`{column}`')} AS _p{number}")
    parts = [f"_p{number}" for number in range(len(terms))]
    rows = rows.selectExpr(*names, *terms)
    order = [*parts, *table.sort]
    if order:
        divided = rows.coalesce(1) if alone else rows.repartitionByRange(*order)
        rows = divided.sortWithinPartitions(*order)
    return rows, parts


def writing(table: Table, iceberg: IcebergTable, parts: Sequence[str], target_file_rows: int, named: str) -> Writing:
    """What workers need to write rows of `table`; `named` is in the names of the files."""
    metadata = bare(iceberg.metadata).model_dump_json(exclude_none=True)
    return Writing(table, metadata, dict(iceberg.io.properties), parts, target_file_rows, named)


def remove_written(iceberg: IcebergTable, named: str) -> None:
    """Remove what tasks have written before one failed, as far as it is there yet; the rest are orphans."""
    with suppress(OSError):
        places = places_of(iceberg.io)
        found = places.below(f"{iceberg.location().rstrip('/')}/data")
        places.remove([file.path for file in found if named in file.path.rpartition("/")[2]])


def described(iceberg: IcebergTable, told: pa.Table) -> list[DataFile]:
    """The files that tasks have written, as a manifest has them."""
    found = []
    for row in told.to_pylist():
        footer = pq.read_metadata(pa.BufferReader(row["footer"]))
        written = WrittenFile(row["location"], row["size"], footer)
        found.append(written.described(iceberg, Record(*json.loads(row["partition"]))))
    return found
