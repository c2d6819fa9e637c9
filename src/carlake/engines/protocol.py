"""What an engine must do: read tables and their changes, compute SQL, and stage files that nobody sees yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from carlake.tables.table import Table

Relation = str
"""The name of a table or view in the engine's session."""


@dataclass(frozen=True)
class Changed:
    """What a table's rows are after minus before: `added` and `gone` are relations with the table's columns."""

    added: Relation
    gone: Relation
    rows_added: int
    rows_gone: int


@dataclass(frozen=True)
class Parsed:
    """Bronze rows judged by the contracts: relations with `parsed_columns` and quarantine's columns, and their counts."""

    accepted: Relation
    quarantined: Relation
    rows_accepted: int
    rows_quarantined: int


@dataclass(frozen=True)
class Staged:
    """Files exist, nothing is visible: what `commit` sends to the catalog in one compare-and-swap.

    `updates` are Iceberg table updates; `base` is the snapshot that main must still be (None: no snapshot yet).
    """

    table: str
    base: int | None
    snapshot_id: int
    updates: tuple[Any, ...]
    rows_added: int
    rows_removed: int
    data_files: tuple[str, ...] = field(default=())


class Engine(Protocol):
    """One engine session. Relations it makes live until `forget`; nothing it makes is visible to others until a commit."""

    name: str

    def scan(
        self,
        table: str,
        snapshot: int | None,
        keys: Relation | None = None,
        on: Mapping[str, str] | None = None,
        located: bool = False,
    ) -> Relation:
        """The rows of `table` at `snapshot` (None: no rows), cut to `keys`: a relation of the columns named in `on`
        (key column -> expression over the table's columns). `located` adds `_file` and `_pos`."""
        ...

    def diff(self, table: str, since: int | None, until: int | None) -> Changed | None:
        """The row changes between two snapshots; None where `since` is not an ancestor of `until`."""
        ...

    def parse(self, bronze_rows: Relation) -> Parsed:
        """Judge bronze rows by the contracts."""
        ...

    def keep(self, sql: str) -> Relation:
        """Compute once and keep."""
        ...

    def view(self, sql: str) -> Relation:
        """Name a query; computed where it is used."""
        ...

    def count(self, relation: Relation) -> int:
        """The number of rows."""
        ...

    def stage(
        self,
        table: Table,
        base: int | None,
        removed: Relation | None,
        added: Relation | None,
        properties: Mapping[str, str],
        everything: bool = False,
    ) -> Staged:
        """Write the files of a new snapshot on `base`: `added` rows (the table's columns) come, the rows of `removed`
        (`_file`, `_pos`) go. `everything` replaces all files at once. Raises SchemaError before any file is written."""
        ...

    def forget(self) -> None:
        """Drop the relations of this session."""
        ...


def semi_join(names: str, rows: str, keys: Relation, on: Mapping[str, str]) -> str:
    """SQL for the rows whose key is among `keys`; `on` maps each of the keys' columns to an expression over the rows."""
    # The keys' columns are renamed, since an expression over the rows may use the same names.
    renamed = ", ".join(f"{key} AS _key_{key}" for key in on)
    match = " AND ".join(f"({expression}) = _key_{key}" for key, expression in on.items())
    return f"SELECT {names} FROM {rows} AS s SEMI JOIN (SELECT {renamed} FROM {keys}) AS k ON {match}"
