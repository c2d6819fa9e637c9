"""What an engine must do: read tables and their changes, compute SQL, and stage files that nobody sees yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
from pyiceberg.table import Table as IcebergTable

from carlake.landing.forgotten import Screen
from carlake.landing.landed import LandedObject, UnreadableError
from carlake.tables.table import Table

Relation = str
"""The name of a table or view in the engine's session."""


@dataclass(frozen=True)
class Changed:
    """What a table's rows are after minus before: `added` and `gone` are relations with the table's columns.

    `complete` says that `added` has every row there is now for the keys of `gone`, so that none needs to be looked for.
    """

    added: Relation
    gone: Relation
    rows_added: int
    rows_gone: int
    complete: bool = False


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


@dataclass(frozen=True)
class Source:
    """One landed object, as bronze records it."""

    uri: str
    source_id: str
    size_bytes: int
    modified_at: datetime


@dataclass
class Identified:
    """What objects hold: the hash of each one's content by its uri, and those that cannot be read."""

    ids: dict[str, str] = field(default_factory=dict)
    unread: list[UnreadableError] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """How objects become rows of bronze.

    hints   the JSON keys that bronze's hint columns are looked for under
    screen  takes out forgotten cars and makes pseudonyms; a worker elsewhere gets a copy
    """

    ingested_at: datetime
    hints: Mapping[str, Sequence[str]]
    screen: Screen
    max_record_bytes: int


class Landing(Protocol):
    """Objects on their way into bronze; the engine reads them where it computes."""

    def identify(self, objects: Sequence[LandedObject]) -> Identified:
        """Hash the content of each object."""
        ...

    def read(
        self, bronze: Table, new: Mapping[str, LandedObject], reading: Reading, progress: Callable[[int], None]
    ) -> LandingBatch:
        """Take the records of objects, by their source ids. May be called again after a refusal.

        All rows of an object come, or none where it cannot be read to its end; an object without records leaves one
        marker row. `progress` is called with the bytes taken in.
        """
        ...


class LandingBatch(Protocol):
    """One batch of objects that was read. Nothing is visible until what `stage` gives is committed.

    records    how many were read
    forgotten  records among them that were refused, of cars that were forgotten
    unread     objects that could not be read
    """

    @property
    def records(self) -> int: ...

    @property
    def forgotten(self) -> int: ...

    @property
    def unread(self) -> Sequence[UnreadableError]: ...

    def stage(self, base: int | None, properties: Mapping[str, str]) -> Staged:
        """Bronze's new snapshot on `base`, staged. May be called again on another base after a refusal."""
        ...

    @property
    def parsed(self) -> Parsed | None:
        """The records as the contracts judged them, where that is at hand; complete once staged."""
        ...

    def abandon(self) -> None:
        """Remove the files of a batch that was surely never visible."""
        ...

    def unstage(self) -> None:
        """Know that no staged snapshot was published, so that its files may go."""

    def stop(self) -> None:
        """Stop work after an error. Files that may be part of a commit of unclear outcome stay."""
        ...

    def close(self) -> None:
        """End its threads."""
        ...


class Rewritten(Protocol):
    """Data files written anew, in the place of others. Nothing is visible until what `stage` gives is committed.

    rows_before, rows_after    rows of the files that go and of those that come
    bytes_before, bytes_after  their sizes
    """

    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int

    @property
    def files_after(self) -> int:
        """Number of files that come."""
        ...

    def stage(self, base: int, properties: Mapping[str, str]) -> Staged:
        """The snapshot on `base`, staged. May be called again on another base; raises CommitRefusedError where one of
        the files that go is not live there any more.
        """
        ...

    def abandon(self) -> None:
        """Remove what was written; only where no commit of it was tried, or all were surely refused."""
        ...


class Engine(Protocol):
    """One engine session. What it makes is visible to nobody before a commit, and its relations end with `session`."""

    name: str
    max_record_bytes: int
    target_file_rows: int

    def of_run(self, run_id: str) -> None:
        """What follows is this run's: an engine that keeps a log of its own names the run in it."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Relations made inside are dropped at the end."""
        ...

    def remember(self, name: str, iceberg: IcebergTable) -> None:
        """Use this metadata of a table, just loaded, for what follows in the session."""
        ...

    def load(self, name: str) -> IcebergTable:
        """The table's metadata, as remembered or loaded first in the session."""
        ...

    def scan(
        self,
        table: str,
        snapshot: int | None,
        keys: Relation | None = None,
        on: Mapping[str, str] | None = None,
        located: bool = False,
        within: tuple[str, datetime, datetime] | None = None,
        only: Collection[str] | None = None,
    ) -> Relation:
        """The rows of `table` at `snapshot` (None: no rows), cut to `keys`: a relation of the columns named in `on`
        (key column -> expression over the table's columns). `located` adds `_file` and `_pos`. `within` is a column
        and its bounds, the upper one exclusive, in which all these rows are known to lie. `only` gives these columns
        alone, which have to be all that `on` and `within` need.
        """
        ...

    def find(self, table: Table, snapshot: int | None, keys: Relation | None) -> Relation | None:
        """The rows of `table` at `snapshot` with `keys` of its scope (None: all rows), kept; None where there is none.

        They have `_file`, `_pos`, and `_copy`, which counts the rows of one key from 1.
        """
        ...

    def diff(self, table: str, since: int | None, until: int | None) -> Changed | None:
        """The row changes between two snapshots; None where `since` is not an ancestor of `until`."""
        ...

    def parse(self, bronze_rows: Relation) -> Parsed:
        """Judge bronze rows by the contracts."""
        ...

    def land(self) -> Landing:
        """Begin to take in a batch of objects."""
        ...

    def keep(self, sql: str) -> Relation:
        """Compute once and keep."""
        ...

    def view(self, sql: str) -> Relation:
        """Name a query; computed where it is used."""
        ...

    def table(self, rows: pa.Table) -> Relation:
        """Keep Arrow rows."""
        ...

    def count(self, relation: Relation) -> int:
        """The number of rows."""
        ...

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """All rows of a small query."""
        ...

    def batches(self, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a query in batches of about `rows`."""
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
        (`_file`, `_pos`) go. `everything` replaces all files at once. Raises SchemaError before any file is written,
        CommitRefusedError where main already moved on.
        """
        ...

    def rewrite(
        self, table: Table, base: int, locations: Sequence[str], select: str = "SELECT * FROM {rows}"
    ) -> Rewritten:
        """Write the rows of data files that are live in `base` anew, sorted, as `select` over {rows} gives them."""
        ...

    def remove_files(self, locations: Sequence[str]) -> None:
        """Remove data files of a snapshot that was surely never published."""
        ...

    def close(self) -> None:
        """End the session and remove its scratch files."""
        ...


def semi_join(names: str, rows: str, keys: Relation, on: Mapping[str, str]) -> str:
    """SQL for the rows whose key is among `keys`; `on` maps each of the keys' columns to an expression over the rows."""
    return _key_join("SEMI", names, rows, keys, on)


def anti_join(names: str, rows: str, keys: Relation, on: Mapping[str, str]) -> str:
    """SQL for the rows whose key is not among `keys`; as `semi_join`."""
    return _key_join("ANTI", names, rows, keys, on)


def _key_join(kind: str, names: str, rows: str, keys: Relation, on: Mapping[str, str]) -> str:
    # The keys' columns are renamed, since an expression over the rows may use the same names.
    renamed = ", ".join(f"{key} AS _key_{key}" for key in on)
    match = " AND ".join(f"({expression}) = _key_{key}" for key, expression in on.items())
    return f"SELECT {names} FROM {rows} AS s {kind} JOIN (SELECT {renamed} FROM {keys}) AS k ON {match}"
