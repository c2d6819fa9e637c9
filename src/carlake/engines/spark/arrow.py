"""Arrow tables to Spark and back, on every Spark that there is a runtime for.

Rows that are collected without Arrow lose the zone of their times. From 4.0 on Spark takes and gives Arrow itself;
before that, a worker packs each batch into one binary value, or unpacks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PACKED = "packed"


def to_arrow(rows: DataFrame) -> pa.Table:
    """All rows, in the driver's memory; times are UTC."""
    if hasattr(rows, "toArrow"):
        whole: pa.Table = rows.toArrow()
        return whole
    packed = rows.mapInArrow(_pack, f"{_PACKED} binary").collect()
    tables = [pa.ipc.open_stream(bytes(row[0])).read_all() for row in packed]
    if tables:
        return pa.concat_tables(tables)
    return pa.table({name: pa.nulls(0) for name in rows.columns})  # nothing came that would tell the types


def from_arrow(session: SparkSession, rows: pa.Table) -> DataFrame:
    """Rows of the driver as a DataFrame."""
    if int(session.version.split(".")[0]) >= 4:
        return session.createDataFrame(rows)
    packed = [(_packed(pa.Table.from_batches([batch])),) for batch in rows.combine_chunks().to_batches()]
    schema = ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in rows.schema)
    return session.createDataFrame(packed, f"{_PACKED} binary").mapInArrow(_unpack, schema)


def _pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            yield pa.record_batch([pa.array([_packed(pa.Table.from_batches([batch]))], pa.binary())], names=[_PACKED])


def _unpack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for value in batch.column(0):
            yield from pa.ipc.open_stream(value.as_buffer()).read_all().to_batches()


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


_TYPES = {pa.string(): "string", pa.int32(): "int", pa.int64(): "bigint", pa.float64(): "double", pa.date32(): "date",
          pa.binary(): "binary", pa.bool_(): "boolean", pa.timestamp("us", tz="UTC"): "timestamp"}  # fmt: skip


def _spark_type(kind: pa.DataType) -> str:
    return str(kind).replace("decimal128", "decimal") if pa.types.is_decimal(kind) else _TYPES[kind]
