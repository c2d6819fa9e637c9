"""Parquet files of Iceberg tables: read by field id, written sorted, with the statistics that planning needs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.protocol import Relation
from carlake.engines.schemas import DUCKDB
from carlake.storage import settle_later
from carlake.tables.table import Table

# Small enough that one car's rows are found by reading little, large enough that columns compress.
ROW_GROUP_ROWS = 24_576

# Partition transforms of the Iceberg spec, as SQL that gives the partition value.
_PARTITION_SQL = {
    "identity": "{0}",
    "day": "CAST(epoch_us({0}) // 86400000000 AS INTEGER)",
    "month": "CAST((year({0}) - 1970) * 12 + month({0}) - 1 AS INTEGER)",
}


def local_path(location: str) -> str:
    """The path that an Iceberg location of the local file system names."""
    return location.removeprefix("file://")


def quoted(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def _literal_path(path: str) -> str:
    """A path literal for DuckDB's readers, which take `*`, `?` and `[` for wildcards."""
    return quoted("".join(f"[{c}]" if c in "*?[" else c for c in path))


def read_files(table: Table, paths: Sequence[str], schema: Schema | None, located: bool = False) -> str:
    """SQL that reads data files as rows of `table`, columns matched by Iceberg field id.

    A column that a file does not have, or that the table does not have yet, is null. `located` adds `_file` and `_pos`.
    """
    if not paths or schema is None:
        nothing = ", ".join(f"CAST(NULL AS {DUCKDB[c.type]}) AS {c.name}" for c in table.columns)
        place = ", CAST(NULL AS VARCHAR) AS _file, CAST(NULL AS BIGINT) AS _pos" if located else ""
        return f"SELECT * FROM (SELECT {nothing}{place}) WHERE false"
    ids = {field.name: field.field_id for field in schema.fields}
    fields = ", ".join(
        f"{ids[c.name]}: {{name: '{c.name}', type: '{DUCKDB[c.type]}', default_value: NULL}}"
        for c in table.columns
        if c.name in ids
    )
    names = ", ".join(c.name if c.name in ids else f"CAST(NULL AS {DUCKDB[c.type]}) AS {c.name}" for c in table.columns)
    files = ", ".join(_literal_path(path) for path in paths)
    place = ", _file, file_row_number AS _pos" if located else ""
    options = ", filename = '_file', file_row_number = true" if located else ""
    return f"SELECT {names}{place} FROM read_parquet([{files}], schema = MAP {{{fields}}}{options})"


def write_files(
    connection: duckdb.DuckDBPyConnection, table: Table, iceberg: IcebergTable, rows: Relation, target_file_rows: int
) -> list[DataFile]:
    """Write the rows of a relation as sorted Parquet files, none across partitions, to be made durable by the commit.

    A partition of more than `target_file_rows` rows is cut along its first sort column, so that files do not overlap.
    """
    # The table's own partitioning, which may be older than the declared one.
    terms = [
        _PARTITION_SQL[str(field.transform)].format(iceberg.schema().find_column_name(field.source_id))
        for field in iceberg.spec().fields
    ]
    columns = ", ".join(table.column_names)
    order = f" ORDER BY {', '.join(table.sort)}" if table.sort else ""
    partitions = connection.execute(
        f"SELECT {''.join(term + ', ' for term in terms)}count(*) FROM {rows} AS w GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    written = []
    for *values, count in partitions:
        if not count:
            continue
        where = [f"{term} IS NOT DISTINCT FROM {_value(value)}" for term, value in zip(terms, values, strict=True)]
        for cut in _cuts(connection, rows, where, table.sort, count, target_file_rows):
            condition = " AND ".join([*where, *cut]) or "true"
            path = _new_path(iceberg, table, values)
            _copy(
                connection, f"SELECT {columns} FROM {rows} AS w WHERE {condition}{order}", path, iceberg.schema(), table
            )
            written.append(data_file(iceberg, path, Record(*values)))
    return written


def _value(value: object) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else quoted(str(value))


def _cuts(
    connection: duckdb.DuckDBPyConnection,
    rows: Relation,
    where: list[str],
    sort: Sequence[str],
    count: int,
    target: int,
) -> list[list[str]]:
    """Conditions that cut a partition into files of about `target` rows along the first sort column."""
    pieces = -(-count // target)
    if pieces <= 1 or not sort:
        return [[]]
    shares = ", ".join(str(number / pieces) for number in range(1, pieces))
    condition = " AND ".join(where) or "true"
    row = connection.execute(
        f"SELECT quantile_disc({sort[0]}, [{shares}]) FROM {rows} AS w WHERE {condition}"
    ).fetchone()
    edges = [quoted(str(edge)) for edge in dict.fromkeys(row[0] if row else [])]
    lower = [[], *([f"{sort[0]} > {edge}"] for edge in edges)]
    upper = [*([f"{sort[0]} <= {edge}"] for edge in edges), []]
    return [[*low, *high] for low, high in zip(lower, upper, strict=True)]


def _new_path(iceberg: IcebergTable, table: Table, values: Sequence[object]) -> str:
    """A new data file's path, named by its partition as other engines name it."""
    parts = [
        field.transform.to_human_string(iceberg.schema().find_type(field.source_id), value)
        for field, value in zip(iceberg.spec().fields, values, strict=True)
    ]
    folders = [f"{field.name}={part}" for field, part in zip(iceberg.spec().fields, parts, strict=True)]
    folder = Path(local_path(iceberg.location()), "data", *(f.replace("/", "_") for f in folders))
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{uuid.uuid4().hex}.parquet")


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: str, schema: Schema, table: Table) -> None:
    ids = ", ".join(f"{field.name}: {field.field_id}" for field in schema.fields if field.name in table.column_names)
    connection.execute(
        f"COPY ({select}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
        f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}, FIELD_IDS {{{ids}}})"
    )
    settle_later(path)


def data_file(iceberg: IcebergTable, path: str, partition: Record) -> DataFile:
    """Describe a written Parquet file for a manifest: counts, sizes and column bounds from its own footer."""
    footer = pq.read_metadata(path)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(iceberg.schema(), iceberg.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(iceberg.schema()),
    )
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path if iceberg.location().startswith("/") else f"file://{path}",
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=Path(path).stat().st_size,
        sort_order_id=None,
        spec_id=iceberg.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    file.spec_id = iceberg.metadata.default_spec_id
    return file
