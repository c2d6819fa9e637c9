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
    tree = sqlglot.parse_one(sql, read="duckdb")
    for called in list(tree.find_all(exp.Anonymous)):
        if called.name.upper() in _RENAMED:
            called.set("this", _RENAMED[called.name.upper()])
    # The innermost first, since what is around it has it in two places then.
    for quotient in reversed(list(tree.find_all(exp.Div))):
        if not isinstance(quotient.expression, exp.Literal):
            quotient.replace(_ieee(quotient))
    return tree.sql(dialect="spark")


def _ieee(node: exp.Div) -> exp.Expression:
    """A quotient of doubles, which all here are, by IEEE 754: what is divided by zero is infinite, and no error.

    A positive divisor may still become zero, as the least double that is divided by sixty.
    """
    infinite = exp.Mul(this=_in_brackets(node.this), expression=exp.cast(exp.Literal.string("Infinity"), "double"))
    zero = exp.EQ(this=_in_brackets(node.expression), expression=exp.Literal.number(0))
    quotient = node.copy()
    quotient.set("safe", False)
    return exp.Paren(this=exp.Case(ifs=[exp.If(this=zero, true=infinite)], default=quotient))


def _in_brackets(node: exp.Expression) -> exp.Expression:
    return exp.Paren(this=node.copy())
