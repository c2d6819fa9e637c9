"""The SQL texts in Spark's words. They are written once, for DuckDB; what differs silently is put right here.

sqlglot knows most of it: the order of nulls, types, dates, quoting. The rules below are for what it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from carlake.tables.table import ColumnType

SPARK: Mapping[ColumnType, str] = {
    "string": "string",
    "int": "int",
    "long": "bigint",
    "double": "double",
    "decimal(18,3)": "decimal(18,3)",
    "timestamptz": "timestamp",
    "date": "date",
    "binary": "binary",
}
"""The declared types as Spark names them."""

# Functions that both engines have, under other names.
_RENAMED = {"EPOCH_US": "UNIX_MICROS"}


def in_spark(sql: str) -> str:
    """One SELECT of DuckDB's dialect as Spark takes it."""
    return sqlglot.parse_one(sql, read="duckdb").transform(_ruled).sql(dialect="spark")


def _ruled(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Anonymous) and node.name.upper() in _RENAMED:
        return exp.Anonymous(this=_RENAMED[node.name.upper()], expressions=node.expressions)
    return node
