"""Sorted rows become Parquet files: one after the other, none across partitions, each with its place in the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table as IcebergTable

from carlake.engines.new_files import NewFile, WrittenFile

# Small enough that one car's rows are found by reading little, large enough that columns compress.
ROW_GROUP_ROWS = 24_576

_LOOKED_AT = 8192


def cut(
    reader: Iterable[pa.RecordBatch], parts: Sequence[str], target_file_rows: int
) -> Iterator[tuple[list[Any], list[pa.RecordBatch]]]:
    """A sorted stream cut into files: the values of the partition, and the batches without them.

    parts  the columns with the partition's values; a file ends with its partition, or after about `target_file_rows` rows
    """
    values: list[Any] = []
    batches: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        for piece_values, piece in _pieces(batch, parts):
            if batches and (piece_values != values or rows >= target_file_rows):
                yield values, batches
                batches, rows = [], 0
            values = piece_values
            batches.append(piece)
            rows += piece.num_rows
    if batches:
        yield values, batches


def _pieces(batch: pa.RecordBatch, parts: Sequence[str]) -> Iterator[tuple[list[Any], pa.RecordBatch]]:
    """A sorted batch cut where the partition changes."""
    if not batch.num_rows:
        return
    columns = [batch.column(part) for part in parts]
    plain = batch.drop_columns(list(parts)) if parts else batch
    first, last = ([column[place].as_py() for column in columns] for place in (0, -1))
    if first == last:
        yield first, plain
        return
    keys = list(zip(*(column.to_pylist() for column in columns), strict=True))
    start = 0
    for end in range(1, len(keys) + 1):
        if end == len(keys) or keys[end] != keys[start]:
            yield list(keys[start]), plain.slice(start, end - start)
            start = end


def write_sorted(file: NewFile, batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> WrittenFile:
    """Write one file; nothing is left of it if that fails."""
    try:
        # Pieces of one row group at the cuts between partitions are put together again.
        rows = pa.Table.from_batches(batches).cast(schema)
        with pq.ParquetWriter(
            file.path, schema, compression="zstd", compression_level=1, use_dictionary=_repetitive(rows),
            store_schema=False, store_decimal_as_integer=True,
        ) as writer:  # fmt: skip
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        return file.finish()
    except BaseException:
        file.discard()
        raise


def _repetitive(rows: pa.Table) -> Any:
    """The columns whose values repeat, by a look at the first rows: the dictionary of any other costs time and space."""
    first = rows.slice(0, _LOOKED_AT)
    if first.num_rows < _LOOKED_AT:
        return True
    return [name for name in rows.column_names if 4 * pc.count_distinct(first[name]).as_py() < _LOOKED_AT]


def new_file(iceberg: IcebergTable, values: Sequence[object], scratch: Path | None, named: str = "") -> NewFile:
    """A new file of the partition with these values, in folders named as other engines name them; see `NewFile`."""
    folders = [
        f"{field.name}={field.transform.to_human_string(iceberg.schema().find_type(field.source_id), value)}"
        for field, value in zip(iceberg.spec().fields, values, strict=True)
    ]
    return NewFile(iceberg, folders, scratch, named)
