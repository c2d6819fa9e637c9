"""What a table is: columns with unit and meaning, a scope, and one SELECT over one source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

ColumnType = Literal["string", "int", "long", "double", "decimal(18,3)", "timestamptz", "date", "binary"]
Reads = Literal["delta", "scope"]


@dataclass(frozen=True)
class Column:
    """One column: name, type, what it means, and what values it may hold.

    `unit` is a UCUM code ("km", "Cel", "%"), empty where a unit makes no sense. `minimum` and `maximum` are the
    inclusive range a landed value must lie in. `personal` marks data about a person. `volatile` marks times of
    computing, which do not make a row a different row.
    """

    name: str
    type: ColumnType
    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    personal: bool = False
    volatile: bool = False
    required: bool = False


@dataclass(frozen=True)
class Resume:
    """How new source rows and a table's own rows give its rows without the source rows read before.

    when    SQL condition over a new source row `s` and the own row `o` of its key (its columns null where there is none),
            under which that is exact. It has to hold for all new rows of a key; else all source rows of the key are read.
    source  SQL over {added} (new source rows) and {self} (own rows): the {source} of the table's SELECT
    select  SQL over {fresh}, what the table's SELECT gives of that, and {self}: the table's rows
    """

    when: str
    source: str = "{added}"
    select: str = "SELECT * FROM {fresh}"


@dataclass(frozen=True)
class Table:
    """One table: a declaration that the one rule (`carlake.refresh`) keeps right.

    name       the table's name in the namespace, without it
    doc        one sentence: what one row is
    source     name of the table it is made from, "landing" for bronze, None where nothing feeds it
    scope      the keys that a refresh replaces whole: own column name -> expression over the source's columns
    reads      "delta": only the changed source rows are needed; "scope": all source rows of each touched key
    key        the columns that tell one row from another; no two rows share them
    select     SQL over the relations {source} and {self} (both cut to the touched keys); it may use {today} and {now}
    steps      intermediate results of the select by name, each computed once, in order; the select has them as {name}
    columns    the declared columns, in order
    partition  Iceberg partition fields as (column, transform)
    sort       the order of rows inside files
    parses     source rows go through the contracts first (`Engine.parse`)
    stale      SQL condition over the table's own rows: those that the passing of time alone made wrong; may use {today}
    resume     for a table that reads "scope": when its own rows stand in for source rows read before. Whether they do never
               changes a row, so it is no part of the definition
    span       a column of the source and a unit of time (("event_timestamp", "month")): the source rows of one key lie in
               one such unit
    inputs     further text that decides the table's content (contracts, rules), part of its definition; an input named
               "columns" or "select" stands in for the table's own
    broken     why this table cannot be refreshed: a mistake in a file that it is declared by (its rules); the rest then
               stands in for what the file should have said. Empty where all is well
    """

    name: str
    doc: str
    source: str | None
    scope: Mapping[str, str]
    key: tuple[str, ...]
    reads: Reads
    select: str
    columns: tuple[Column, ...]
    partition: tuple[tuple[str, str], ...] = ()
    sort: tuple[str, ...] = ()
    parses: Literal["", "accepted", "quarantined"] = ""
    stale: str = ""
    steps: Mapping[str, str] = field(default_factory=dict)
    resume: Resume | None = None
    span: tuple[str, str] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""

    @property
    def parts(self) -> dict[str, str]:
        """What decides the table's rows, each part by its name as a digest: two definitions differ where a part does."""
        texts = {
            "columns": shape(self.columns),
            "scope": repr(dict(self.scope)),
            "select": self.select,
            **self.steps,
            **self.inputs,
        }
        return {name: digest(text) for name, text in texts.items()}

    @property
    def definition(self) -> str:
        """Hash of all parts, in their order; a bookmark made by another definition is not continued."""
        return digest(repr(list(self.parts.items())))

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that make two rows the same row: all but the volatile ones."""
        return tuple(column.name for column in self.columns if not column.volatile)

    @property
    def words(self) -> frozenset[str]:
        """Every name that the table's SQL has, and its own columns: no column of the source but these can matter to it."""
        sql = [self.select, self.stale, *self.steps.values(), *self.scope.values(), *(self.span or ())]
        if self.resume is not None:
            sql += [self.resume.when, self.resume.source, self.resume.select]
        return frozenset(self.column_names).union(*(re.findall(r"[a-z_][a-z0-9_]*", text.lower()) for text in sql))

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def shape(columns: Iterable[Column]) -> str:
    """What of columns decides the rows of a table: not their meaning in words."""
    return repr([(column.name, column.type, column.minimum, column.maximum) for column in columns])


def digest(text: str) -> str:
    """Twelve hex digits of SHA-256: short enough to read, long enough not to collide among definitions."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
