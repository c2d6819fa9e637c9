"""Parquet files of Iceberg tables: read by field id, written sorted, with the statistics that planning needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.data_files import arrow_schema as arrow_schema
from carlake.engines.data_files import data_file as data_file
from carlake.engines.data_files import local_path as local_path
from carlake.engines.new_files import NewFile
from carlake.engines.protocol import Relation
from carlake.engines.reads import nothing
from carlake.engines.schemas import DUCKDB
from carlake.engines.sorted_files import ROW_GROUP_ROWS, cut, new_file, write_sorted
from carlake.storage.durable import places_of
from carlake.tables.table import Table

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
        return nothing(table, located, only)
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
            for values, batches in cut(connection.sql(sql).to_arrow_reader(ROW_GROUP_ROWS), parts, target_file_rows):
                # The batches of a file wait while as many are written as there are writers; no more are in memory.
                while sum(not job.done() for job in writing) >= _WRITERS:
                    wait([job for job in writing if not job.done()], return_when=FIRST_COMPLETED)
                file = new_file(iceberg, values, scratch)
                writing.append(pool.submit(_described, iceberg, file, batches, schema, Record(*values)))
        return [job.result() for job in writing]
    except BaseException:
        # No commit names them, and where the disk is full they are what fills it.
        with suppress(OSError):  # what broke it off is to be told
            places_of(iceberg.io).remove([job.result().file_path for job in writing if not job.exception()])
        raise


def _described(
    iceberg: IcebergTable, file: NewFile, batches: Sequence[pa.RecordBatch], schema: pa.Schema, partition: Record
) -> DataFile:
    return write_sorted(file, batches, schema).described(iceberg, partition)
