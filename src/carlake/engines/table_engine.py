"""What both engines do alike: which files a read needs, and how a snapshot is staged. Only computing is an engine's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.engines import reads
from carlake.engines.manifests import live_files
from carlake.engines.protocol import Changed, Relation, Staged
from carlake.engines.schemas import check_schema
from carlake.engines.snapshots import stage_snapshot
from carlake.errors import NotFoundError, SchemaError
from carlake.storage.durable import places_of
from carlake.tables.table import ColumnType, Table


class TableEngine(ABC):
    """Reads tables and stages snapshots of them, by the SQL and the files of an engine that is derived from it.

    types  how the engine names the columns' types
    """

    types: Mapping[ColumnType, str]

    def __init__(self, catalog: Catalog, namespace: str, tables: Mapping[str, Table]) -> None:
        self.catalog = catalog
        self.namespace = namespace
        self.tables = tables
        self.run_id = ""
        self._made: list[str] = []
        self._diffs: dict[tuple[str, int | None, int | None], Changed | None] = {}
        self._loaded: dict[str, IcebergTable] = {}

    def of_run(self, run_id: str) -> None:
        """See `Engine.of_run`."""
        self.run_id = run_id

    # -- the engine's own --------------------------------------------------------------------------------------------

    @abstractmethod
    def keep(self, sql: str) -> Relation:
        """See `Engine.keep`."""

    @abstractmethod
    def view(self, sql: str) -> Relation:
        """See `Engine.view`."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """See `Engine.rows`."""

    @abstractmethod
    def count(self, relation: Relation) -> int:
        """See `Engine.count`."""

    @abstractmethod
    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """The names and types of a relation's columns, as `types` has them."""

    @abstractmethod
    def files(
        self,
        table: Table,
        files: Sequence[DataFile],
        iceberg: IcebergTable,
        located: bool = False,
        only: Collection[str] | None = None,
        snapshot: int | None = None,
    ) -> str:
        """SQL that reads data files as rows of `table`, columns matched by Iceberg field id.

        A column that a file does not have, or that the table does not have yet, is null.
        located   adds `_file` and `_pos`
        only      these columns alone, where leaving the others out later would cost more
        snapshot  the files are all of this snapshot
        """

    @abstractmethod
    def place(self, file: DataFile) -> str:
        """What `_file` says of a data file."""

    @abstractmethod
    def check(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """Compare files with their names before their rows are carried over into others. Raises DamagedError, OSError."""

    @abstractmethod
    def write(self, table: Table, iceberg: IcebergTable, rows: Relation, most: int | None = None) -> list[DataFile]:
        """Write rows as new data files of a table, in its order. `most`: there are not more, where that is known."""

    @abstractmethod
    def forget(self) -> None:
        """Drop every relation made since the last time."""
        self._made.clear()
        self._diffs.clear()
        self._loaded.clear()

    # -- tables ------------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self) -> Iterator[None]:
        """Relations made inside are dropped at the end."""
        try:
            yield
        finally:
            self.forget()

    def remember(self, name: str, iceberg: IcebergTable) -> None:
        """Use this metadata of a table, just loaded, for what follows in this session."""
        self._loaded[name] = iceberg

    def load(self, name: str, fresh: bool = False) -> IcebergTable:
        """The Iceberg table, as last loaded in this session. `fresh` asks the catalog again."""
        if fresh or name not in self._loaded:
            self._loaded[name] = self.catalog.load_table(f"{self.namespace}.{name}")
        return self._loaded[name]

    def at(self, name: str, *snapshots: int | None) -> IcebergTable:
        """The table with metadata that knows the given snapshots."""
        for fresh in (False, True):
            iceberg = self.load(name, fresh)
            missing = [s for s in snapshots if s is not None and iceberg.metadata.snapshot_by_id(s) is None]
            if not missing:
                check_schema(self.tables[name], iceberg)
                return iceberg
        raise NotFoundError(
            f"Table {name} has no snapshot {missing[0]}.", f"`carlake tables {name}` lists the newest one."
        )

    def empty(self, table: Table, located: bool = False) -> Relation:
        """A relation of the table's columns without rows."""
        return self.view(reads.nothing(table, located))

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
        """See `Engine.scan`."""
        return reads.scan(self, self.tables[table], snapshot, keys, on, located, within, only)

    def find(self, table: Table, snapshot: int | None, keys: Relation | None) -> Relation | None:
        """See `Engine.find`."""
        return reads.find(self, table, snapshot, keys)

    def diff(self, table: str, since: int | None, until: int | None) -> Changed | None:
        """See `Engine.diff`. Several tables ask for the same changes: small ones are read once a session."""
        if (table, since, until) not in self._diffs:
            self._diffs[table, since, until] = reads.diff(self, self.tables[table], since, until)
        return self._diffs[table, since, until]

    # -- staging -----------------------------------------------------------------------------------------------------

    def stage(
        self,
        table: Table,
        base: int | None,
        removed: Relation | None,
        added: Relation | None,
        properties: Mapping[str, str],
        everything: bool = False,
    ) -> Staged:
        """See `Engine.stage`. Files that hold a removed row are written anew without it (copy on write)."""
        iceberg = self.at(table.name, base)
        self._check_columns(table, added)
        live = {self.place(file): file for file in live_files(iceberg, base)}
        hit = set(live) if everything else set()
        rows_removed = 0
        if removed is not None and not everything:
            hit = {str(row[0]) for row in self.rows(f"SELECT DISTINCT _file FROM {removed}")}
            rows_removed = self.count(removed)
        writes = added
        if hit and not everything:
            hits = [live[path] for path in sorted(hit)]
            # Or a flipped bit would be carried over into a file with a good checksum.
            self.check(hits, iceberg)
            names = ", ".join(table.column_names)
            kept = self.files(table, hits, iceberg, located=True)
            writes = self.view(
                f"SELECT {names} FROM ({kept}) AS s ANTI JOIN {removed} AS r ON s._file = r._file AND s._pos = r._pos"
                + (f" UNION ALL SELECT {names} FROM {added} AS a" if added is not None else "")
            )
        elif everything:
            rows_removed = sum(file.record_count for file in live.values())
        carried = sum(live[path].record_count for path in hit) - rows_removed
        known = added is None or added in self._made
        most = max(carried, 0) + (self.count(added) if added else 0) if known else None
        new_files = self.write(table, iceberg, writes, most) if writes else []
        rows_added = sum(file.record_count for file in new_files) - (0 if everything else carried)
        gone = [live[path] for path in hit]
        try:
            staged = stage_snapshot(
                iceberg,
                table.name,
                new_files,
                gone,
                properties,
                base=base,
                rows_added=rows_added,
                rows_removed=rows_removed,
            )
        except BaseException:
            self.remove_files([file.file_path for file in new_files])
            raise
        if added in self._made and not hit:
            # Whoever reads this snapshot's changes in this session need not read the files.
            nothing = self.view(f"SELECT * FROM {added} WHERE false")
            self._diffs[table.name, base, staged.snapshot_id] = Changed(added, nothing, rows_added, 0)
        return staged

    def remove_files(self, locations: Sequence[str]) -> None:
        """Remove data files of a snapshot that was surely never published."""
        for iceberg in self._loaded.values():
            own = [location for location in locations if location.startswith(f"{iceberg.location()}/")]
            places_of(iceberg.io).remove(own)

    def _check_columns(self, table: Table, relation: Relation | None) -> None:
        """Refuse rows whose column names, order or types are not the declared ones, naming each."""
        if relation is None:
            return
        found = self.columns(relation)
        declared = [(column.name, self.types[column.type]) for column in table.columns]
        if found == declared:
            return
        wrong = [
            f"{place + 1}: declared {_shown(declared, place)}, got {_shown(found, place)}"
            for place in range(max(len(found), len(declared)))
            if _shown(declared, place) != _shown(found, place)
        ]
        raise SchemaError(
            f"Rows for table {table.name} do not have its declared columns; nothing was written. Column "
            + "; ".join(wrong),
            "The table's SELECT must give the declared columns in their order and types.",
        )


def _shown(columns: Sequence[tuple[str, str]], place: int) -> str:
    return " ".join(columns[place]) if place < len(columns) else "nothing"
