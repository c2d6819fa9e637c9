"""Figures of a table that every engine computes the same: numbers of values, sums, greatest values, by column type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from carlake.tables.table import Table

# For each type the measures beside the number of values; `{0}` is the column. Sums of text are of its code points, of
# days since 1970, of times in microseconds.
DUCKDB = {
    "string": ("sum(length({0}))",),
    "int": ("CAST(sum({0}) AS VARCHAR)", "max({0})"),
    "long": ("CAST(sum({0}) AS VARCHAR)", "max({0})"),
    "double": ("sum({0})", "min({0})", "max({0})"),
    "decimal(18,3)": ("CAST(sum({0}) AS VARCHAR)", "CAST(max({0}) AS VARCHAR)"),
    "timestamptz": ("CAST(sum(epoch_us({0})) AS VARCHAR)", "max(epoch_us({0}))"),
    "date": ("CAST(sum({0} - DATE '1970-01-01') AS BIGINT)", "CAST(max({0}) AS VARCHAR)"),
    "binary": ("sum(octet_length({0}))",),
}
_EXACT = ("CAST(sum(CAST({0} AS DECIMAL(38,0))) AS VARCHAR)", "max({0})")
SPARK = DUCKDB | {
    "int": tuple(measure.replace("VARCHAR", "STRING") for measure in _EXACT),
    "long": tuple(measure.replace("VARCHAR", "STRING") for measure in _EXACT),
    "decimal(18,3)": ("CAST(sum({0}) AS STRING)", "CAST(max({0}) AS STRING)"),
    "timestamptz": ("CAST(sum(CAST(unix_micros({0}) AS DECIMAL(38,0))) AS STRING)", "max(unix_micros({0}))"),
    "date": ("sum(datediff({0}, DATE '1970-01-01'))", "CAST(max({0}) AS STRING)"),
}
_TRINO_MICROS = "CAST(round(to_unixtime({0}) * 1000000) AS BIGINT)"
TRINO = DUCKDB | {
    "int": _EXACT,
    "long": _EXACT,
    "timestamptz": (
        f"CAST(sum(CAST({_TRINO_MICROS} AS DECIMAL(38,0))) AS VARCHAR)",
        f"max({_TRINO_MICROS})",
    ),
    "date": ("sum(date_diff('day', DATE '1970-01-01', {0}))", "CAST(max({0}) AS VARCHAR)"),
    "binary": ("sum(length({0}))",),
}

Figures = dict[str, Any]


def measures(table: Table, dialect: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The figures of a table by name, each with its SQL."""
    found = {"rows": "count(*)"}
    for column in table.columns:
        found[column.name] = f"count({column.name})"
        for number, measure in enumerate(dialect[column.type]):
            found[f"{column.name}.{number}"] = measure.format(column.name)
    return found


def query(table: Table, dialect: Mapping[str, tuple[str, ...]], source: str) -> str:
    """The SQL that gives them all as one row, in the order of `measures`; `source` is how the engine names the table."""
    return f"SELECT {', '.join(measures(table, dialect).values())} FROM {source}"


def figures(table: Table, row: Iterable[Any]) -> Figures:
    """A row of that query by name; doubles to nine digits, since engines sum in an order of their own."""
    return dict(zip(measures(table, DUCKDB), map(_steady, row), strict=True))


def _steady(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def as_json(lines: Iterable[str]) -> list[list[Any]]:
    """Rows that were printed as JSON lists, one a line."""
    return [json.loads(line) for line in lines if line.startswith("[")]
