"""Parquet files of Iceberg tables: read by field id, written sorted, with the statistics that planning needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.data_files import arrow_schema as arrow_schema
from carlake.engines.data_files import data_file as data_file
from carlake.engines.data_files import local_path as local_path
from carlake.engines.new_files import NewFile
from carlake.engines.protocol import Relation
from carlake.engines.schemas import DUCKDB
from carlake.storage import places_of
from carlake.tables.table import Table

# Small enough that one car's rows are found by reading little, large enough that columns compress.
ROW_GROUP_ROWS = 24_576

_LOOKED_AT = 8192

# Files written at once.
_WRITERS = 2

# Partition transforms of the Iceberg spec, as SQL that gives the partition value.
_PARTITION_SQL = {
    "identity": "{0}",
    "day": "CAST(epoch_us({0}) // 86400000000 AS INTEGER)",
    "month": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INTEGER)",
}


def quoted(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def _literal_path(path: str) -> str:
    """A path literal for DuckDB's readers, which take `*`, `?` and `[` for wildcards."""
    return quoted("".join(f"[{c}]" if c in "*?[" else c for c in path))


def read_files(
    table: Table,
    paths: Sequence[str],
    schema: Schema | None,
    located: bool = False,
    only: Collection[str] | None = None,
) -> str:
    """SQL that reads data files as rows of `table`, columns matched by Iceberg field id.

    A column that a file does not have, or that the table does not have yet, is null. `located` adds `_file` and `_pos`.
    `only` gives these columns alone, which is quicker to plan than leaving the others out later.
    """
    columns = [column for column in table.columns if only is None or column.name in only]
    if not paths or schema is None:
        nothing = ", ".join(f"CAST(NULL AS {DUCKDB[c.type]}) AS {c.name}" for c in columns)
        place = ", CAST(NULL AS VARCHAR) AS _file, CAST(NULL AS BIGINT) AS _pos" if located else ""
        return f"SELECT * FROM (SELECT {nothing}{place}) WHERE false"
    ids = {field.name: field.field_id for field in schema.fields}
    fields = ", ".join(
        f"{ids[c.name]}: {{name: '{c.name}', type: '{DUCKDB[c.type]}', default_value: NULL}}"
        for c in columns
        if c.name in ids
    )
    names = ", ".join(c.name if c.name in ids else f"CAST(NULL AS {DUCKDB[c.type]}) AS {c.name}" for c in columns)
    files = ", ".join(_literal_path(path) for path in paths)
    place = ", _file, file_row_number AS _pos" if located else ""
    options = ", filename = '_file', file_row_number = true" if located else ""
    return f"SELECT {names}{place} FROM read_parquet([{files}], schema = MAP {{{fields}}}{options})"


def write_files(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    iceberg: IcebergTable,
    rows: Relation,
    target_file_rows: int,
    scratch: Path,
) -> list[DataFile]:
    """Write the rows of a relation as sorted Parquet files, none across partitions, to be made durable by the commit.

    scratch  where files are made that go to a store

    The rows are sorted once, by partition first, and stream into one file after the other; a file ends with its
    partition, or after about `target_file_rows` rows, so that the files of a partition hardly overlap.
    """
    # The table's own partitioning, which may be older than the declared one.
    terms = [
        f"{_PARTITION_SQL[str(field.transform)].format(iceberg.schema().find_column_name(field.source_id))} AS _p{number}"
        for number, field in enumerate(iceberg.spec().fields)
    ]
    parts = [f"_p{number}" for number in range(len(terms))]
    order = ", ".join([*parts, *table.sort])
    sql = f"SELECT {', '.join([*table.column_names, *terms])} FROM {rows} AS w" + (
        f" ORDER BY {order}" if order else ""
    )
    schema = arrow_schema(iceberg, table)
    writing: list[Future[DataFile]] = []
    try:
        with ThreadPoolExecutor(_WRITERS) as pool:
            for values, batches in _files(connection.sql(sql).to_arrow_reader(ROW_GROUP_ROWS), parts, target_file_rows):
                # The batches of a file wait while as many are written as there are writers; no more are in memory.
                while sum(not job.done() for job in writing) >= _WRITERS:
                    wait([job for job in writing if not job.done()], return_when=FIRST_COMPLETED)
                file = NewFile(iceberg, _folders(iceberg, values), scratch)
                writing.append(pool.submit(_write, iceberg, file, batches, schema, Record(*values)))
        return [job.result() for job in writing]
    except BaseException:
        # No commit names them, and where the disk is full they are what fills it.
        with suppress(OSError):  # what broke it off is to be told
            places_of(iceberg.io).remove([job.result().file_path for job in writing if not job.exception()])
        raise


def _files(
    reader: pa.RecordBatchReader, parts: Sequence[str], target_file_rows: int
) -> Iterator[tuple[list[Any], list[pa.RecordBatch]]]:
    """The stream cut into files: the values of the partition, and the batches without them."""
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


def _write(
    iceberg: IcebergTable, file: NewFile, batches: Sequence[pa.RecordBatch], schema: pa.Schema, partition: Record
) -> DataFile:
    """Write one file; nothing is left of it if that fails."""
    try:
        # Pieces of one row group at the cuts between partitions are put together again.
        rows = pa.Table.from_batches(batches).cast(schema)
        with pq.ParquetWriter(
            file.path, schema, compression="zstd", compression_level=1, use_dictionary=_repetitive(rows),
            store_schema=False, store_decimal_as_integer=True,
        ) as writer:  # fmt: skip
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        return file.finish().described(iceberg, partition)
    except BaseException:
        file.discard()
        raise


def _repetitive(rows: pa.Table) -> Any:
    """The columns whose values repeat, by a look at the first rows: the dictionary of any other costs time and space."""
    first = rows.slice(0, _LOOKED_AT)
    if first.num_rows < _LOOKED_AT:
        return True
    return [name for name in rows.column_names if 4 * pc.count_distinct(first[name]).as_py() < _LOOKED_AT]


def _folders(iceberg: IcebergTable, values: Sequence[object]) -> list[str]:
    """The folders of a partition, named as other engines name them."""
    return [
        f"{field.name}={field.transform.to_human_string(iceberg.schema().find_type(field.source_id), value)}"
        for field, value in zip(iceberg.spec().fields, values, strict=True)
    ]
