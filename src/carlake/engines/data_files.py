"""Parquet files of Iceberg tables, whoever writes them: their schema, and what a manifest says of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table as IcebergTable
from pyiceberg.typedef import Record

from carlake.engines.schemas import ARROW
from carlake.tables.table import Table


def local_path(location: str) -> str:
    """The path that an Iceberg location of the local file system names."""
    return location.removeprefix("file://")


def arrow_schema(iceberg: IcebergTable, table: Table) -> pa.Schema:
    """The table's Arrow schema with Iceberg's field ids, as Parquet files carry them."""
    ids = {field.name: field.field_id for field in iceberg.schema().fields}
    return pa.schema(
        [pa.field(c.name, ARROW[c.type], metadata={"PARQUET:field_id": str(ids[c.name])}) for c in table.columns]
    )


def data_file(iceberg: IcebergTable, path: str, partition: Record) -> DataFile:
    """Describe a written local Parquet file for a manifest: counts, sizes and column bounds from its own footer."""
    location = path if iceberg.location().startswith("/") else f"file://{path}"
    return described(iceberg, location, Path(path).stat().st_size, pq.read_metadata(path), partition)


def described(iceberg: IcebergTable, location: str, size: int, footer: pq.FileMetaData, partition: Record) -> DataFile:
    """Describe a Parquet file for a manifest: counts, sizes and column bounds from its footer."""
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer,
        stats_columns=compute_statistics_plan(iceberg.schema(), iceberg.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(iceberg.schema()),
    )
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=iceberg.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    file.spec_id = iceberg.metadata.default_spec_id
    return file
