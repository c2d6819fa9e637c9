"""Values of two columns that are to be compared: in which type, and how each gets there, in SQL.

Two programs keep one value in different types: a number as text, a time with and without a zone, a double as a single.
Nothing is cast in silence: `how` says it, and a text that cannot be read as the other side's type is a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["null", "text", "int", "float", "decimal", "bool", "date", "time", "instant", "other"]

_INTEGERS = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT BIGNUM".split()
)
_NUMBERS = ("int", "float", "decimal")
_TIMES = ("date", "time", "instant")
_INSTANT = "TIMESTAMP WITH TIME ZONE"
# `Wed, 29 Oct 2025 11:00:00`, as the oldest events have it.
_OLD_TIME = "%a, %d %b %Y %H:%M:%S"


def family(kind: str) -> Family:
    """What sort of values a DuckDB type has; "time" is a timestamp without a zone, "instant" one with."""
    found: Family = "other"
    if kind.strip('"') == "NULL":
        found = "null"
    elif kind in ("VARCHAR", "JSON"):
        found = "text"
    elif kind in _INTEGERS:
        found = "int"
    elif kind in ("FLOAT", "DOUBLE"):
        found = "float"
    elif kind.startswith("DECIMAL") and not kind.endswith("]"):
        found = "decimal"
    elif kind == "BOOLEAN":
        found = "bool"
    elif kind == "DATE":
        found = "date"
    elif kind == _INSTANT:
        found = "instant"
    elif kind in ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"):
        found = "time"
    return found


@dataclass(frozen=True)
class Reconciled:
    """How the values of two columns are compared.

    here, there  the SQL of each side's value, with {} for the column
    how          in words what is done to them; empty where they are compared as they are
    texts        the side whose texts are read as the other's type; None where neither's are
    number       whether the values are numbers, which may differ by a tolerance
    """

    here: str = "{}"
    there: str = "{}"
    how: str = ""
    texts: Literal["here", "there"] | None = None
    number: bool = False

    def differ(self, here: str, there: str, tolerance: float) -> str:
        """SQL that is true where the values of the columns `here` and `there` are not the same."""
        one, other = self.here.format(here), self.there.format(there)
        sql = f"{one} IS DISTINCT FROM {other}"
        if self.number and tolerance:
            # What is not finite has no distance, and stays different.
            near = f"abs(CAST({one} AS DOUBLE) - CAST({other} AS DOUBLE)) <= {tolerance!r}"
            sql = f"{sql} AND NOT coalesce({near}, false)"
        if self.texts is not None:
            text, value = (here, one) if self.texts == "here" else (there, other)
            sql = f"({sql}) OR (nullif(trim({text}), '') IS NOT NULL AND {value} IS NULL)"
        return f"({sql})"

    def key(self, side: Literal["here", "there"], column: str) -> str:
        """SQL of a key's value on one side, the same for the same key on both; a text that cannot be read is kept."""
        value = (self.here if side == "here" else self.there).format(column)
        if self.texts is None:
            return value
        text = f"CAST({value} AS VARCHAR)"
        return f"coalesce({text}, {column})" if self.texts == side else text


def reconciled(here: str, there: str, zone: str) -> Reconciled:
    """How values of the DuckDB types `here` and `there` are compared; `zone` is that of times without one.

    The session's time zone has to be `zone`: casts take it.
    """
    one, other = family(here), family(there)
    number = one in _NUMBERS or other in _NUMBERS
    if "null" in (one, other):
        kind = there if one == "null" else here
        cast = "{}" if kind.strip('"') == "NULL" else f"CAST({{}} AS {kind})"
        return Reconciled(cast if one == "null" else "{}", cast if other == "null" else "{}")
    if here == there or (one, other) == ("text", "text"):
        return Reconciled(number=number)
    if one in _NUMBERS and other in _NUMBERS:
        return _numbers(here, there, one, other)
    if one in _TIMES and other in _TIMES:
        return _times(one, other, zone)
    if "text" in (one, other) and "other" not in (one, other):
        return _texts(there if one == "text" else here, "here" if one == "text" else "there", zone, number)
    if {one, other} == {"bool", "int"}:
        cast = "CAST({} AS INTEGER)"
        return Reconciled(cast, cast, "true as 1")
    made, read = "CAST(to_json({}) AS VARCHAR)", "coalesce(CAST(json(TRY_CAST({0} AS JSON)) AS VARCHAR), {0})"
    return Reconciled(read if one == "text" else made, read if other == "text" else made, "as JSON text")


def _numbers(here: str, there: str, one: Family, other: Family) -> Reconciled:
    if one == other == "float":
        cast = "CAST({} AS FLOAT)"
        return Reconciled(cast, cast, "in single precision, which is all that one side keeps", number=True)
    if "float" in (one, other):
        cast = "CAST({} AS DOUBLE)"
        return Reconciled(cast, cast, "as double", number=True)
    if one == other == "int":
        return Reconciled(number=True)
    scale = max(int(kind.rpartition(",")[2].rstrip(")")) for kind in (here, there) if kind.startswith("DECIMAL"))
    cast = f"CAST({{}} AS DECIMAL(38,{scale}))"
    return Reconciled(cast, cast, f"with {scale} decimals", number=True)


def _times(one: Family, other: Family, zone: str) -> Reconciled:
    if "instant" in (one, other):
        kind, how = _INSTANT, f"times without a zone as {zone}"
    elif "date" in (one, other):
        kind, how = "TIMESTAMP", "days as their midnight"
    else:
        kind, how = "TIMESTAMP", "in microseconds"
    cast = f"CAST({{}} AS {kind})"
    return Reconciled(cast, cast, how)


def _texts(kind: str, texts: Literal["here", "there"], zone: str, number: bool) -> Reconciled:
    how = f"texts read as {kind}, an empty one as null"
    if family(kind) in ("time", "instant"):
        # As an instant, for a cast to a time without a zone would drop the zone that a text has.
        kind, how = _INSTANT, f"texts read as times, without a zone as {zone}, an empty one as null"
    read, other = f"TRY_CAST(trim({{}}) AS {kind})", f"CAST({{}} AS {kind})"
    if kind in (_INSTANT, "DATE"):
        read = f"coalesce({read}, CAST(try_strptime(trim({{}}), '{_OLD_TIME}') AS {kind}))".replace("{}", "{0}")
    if texts == "here":
        return Reconciled(read, other, how, texts, number)
    return Reconciled(other, read, how, texts, number)
