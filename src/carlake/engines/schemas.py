"""The declared columns in the type systems of Iceberg, Arrow and DuckDB: one mapping each, nothing inferred."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform
from pyiceberg.types import (
    BinaryType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from carlake.errors import SchemaError
from carlake.tables.table import Column, ColumnType, Table

ICEBERG: dict[ColumnType, PrimitiveType] = {
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "decimal(18,3)": DecimalType(18, 3),
    "timestamptz": TimestamptzType(),
    "date": DateType(),
    "binary": BinaryType(),
}
ARROW: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "decimal(18,3)": pa.decimal128(18, 3),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "binary": pa.binary(),
}
DUCKDB: dict[ColumnType, str] = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "double": "DOUBLE",
    "decimal(18,3)": "DECIMAL(18,3)",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
    "binary": "BLOB",
}
_TRANSFORMS = {"day": DayTransform(), "month": MonthTransform(), "identity": IdentityTransform()}


def doc(column: Column) -> str:
    """The column's meaning with its unit and mark, as engines show it."""
    marks = [f"[{column.unit}]" if column.unit else "", "(personal data)" if column.personal else ""]
    return " ".join([column.doc, *filter(None, marks)])


def iceberg_schema(table: Table) -> Schema:
    """The Iceberg schema; field ids count from 1 in the declared order. Nulls are checked when rows are made."""
    return Schema(
        *(
            NestedField(number, column.name, ICEBERG[column.type], required=False, doc=doc(column))
            for number, column in enumerate(table.columns, 1)
        )
    )


def partition_spec(table: Table) -> PartitionSpec:
    """The Iceberg partition spec; field ids from 1000, as the format asks."""
    names = list(table.column_names)
    return PartitionSpec(
        *(
            PartitionField(
                source_id=names.index(column) + 1,
                field_id=1000 + number,
                transform=_TRANSFORMS[transform],
                name=column if transform == "identity" else f"{column}_{transform}",
            )
            for number, (column, transform) in enumerate(table.partition)
        )
    )


def sort_order(table: Table) -> SortOrder:
    """The Iceberg sort order of rows inside files."""
    names = list(table.column_names)
    fields = (SortField(source_id=names.index(column) + 1, transform=IdentityTransform()) for column in table.sort)
    return SortOrder(*fields, order_id=1 if table.sort else 0)


def check_schema(table: Table, iceberg: IcebergTable) -> None:
    """Refuse a table that another program has changed under its declaration: a column dropped, renamed or retyped.

    Reading on would give nulls where there are values, and writing on would make them so. A declared column that the
    table never had is no such change: it comes with `carlake rebuild`. Raises SchemaError.
    """
    there = {field.name: field.field_type for field in iceberg.schema().fields}
    if all(there.get(column.name) == ICEBERG[column.type] for column in table.columns):
        return
    before = {field.name for schema in iceberg.metadata.schemas for field in schema.fields}
    wrong = []
    for column in table.columns:
        if column.name not in there and column.name in before:
            wrong.append(f"has no column {column.name} any more")
        elif column.name in there and there[column.name] != ICEBERG[column.type]:
            wrong.append(f"has column {column.name} as {there[column.name]}, not {ICEBERG[column.type]}")
    if wrong:
        raise SchemaError(
            f"Another program changed table {table.name}: it {' and '.join(wrong)}. It was neither read nor written.",
            "`carlake doctor` says what mends it; its earlier snapshots stay readable.",
        )


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of the columns, in order."""
    return pa.schema([(column.name, ARROW[column.type]) for column in columns])


def duckdb_columns(columns: Sequence[Column]) -> str:
    """The columns as a DuckDB column list, for CREATE TABLE."""
    return ", ".join(f'"{column.name}" {DUCKDB[column.type]}' for column in columns)
