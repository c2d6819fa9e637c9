"""The embedded engine: DuckDB computes, PyIceberg stages, in one process."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.checksums import check_file
from carlake.contracts.contract import ContractSet
from carlake.engines import duckdb_reads
from carlake.engines.duckdb_files import local_path, read_files, write_files
from carlake.engines.duckdb_judge import judged_chunks
from carlake.engines.duckdb_land import DuckDBLanding
from carlake.engines.duckdb_parse import create_accepted, create_quarantined, parse
from carlake.engines.duckdb_rewrite import Rewriting
from carlake.engines.duckdb_stream import ParseStream
from carlake.engines.manifests import live_files
from carlake.engines.protocol import Changed, Parsed, Relation, Staged
from carlake.engines.schemas import DUCKDB, check_schema
from carlake.engines.snapshots import stage_snapshot
from carlake.errors import NotFoundError, SchemaError
from carlake.places import is_remote
from carlake.storage import places_of
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.duckdb_stores import StoreFiles

_PARSE_ROWS = 50_000


class DuckDBEngine:
    """One session. Not for use by several threads at once; `cursor` gives a thread its own connection to it."""

    name = "duckdb"

    def __init__(
        self,
        catalog: Catalog,
        namespace: str,
        tables: Mapping[str, Table],
        contracts: ContractSet,
        scratch: Path,
        max_record_bytes: int = 16 << 20,
        memory_limit_bytes: int = 1 << 30,
        threads: int = 0,
        target_file_bytes: int = 32 << 20,
    ) -> None:
        self.catalog = catalog
        self.namespace = namespace
        self.tables = tables
        self.contracts = contracts
        self.max_record_bytes = max_record_bytes
        # About 160 bytes a row of silver, the widest table.
        self.target_file_rows = max(target_file_bytes // 160, 1000)
        # Arrow's own allocator gives memory back at once and faults it in again for the next chunk; malloc keeps it.
        pa.set_memory_pool(pa.system_memory_pool())
        scratch.mkdir(parents=True, exist_ok=True)
        _sweep(scratch)
        self._scratch = Path(tempfile.mkdtemp(prefix=f"duckdb-{os.getpid()}-", dir=scratch))
        self.connection = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute("SET enable_progress_bar = false")
        self.connection.execute("SET parquet_metadata_cache = true")
        # It knows no row counts of files read by field id, and would hash a million rows to look for a thousand keys:
        # all joins here are written with the smaller side on the right.
        self.connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
        self.connection.execute(f"SET memory_limit = '{memory_limit_bytes}B'")
        self.connection.execute("SET temp_directory = ?", [str(self._scratch)])
        if threads:
            self.connection.execute(f"SET threads = {threads}")
        # Kept relations live in a file of their own: compressed, and not bound by memory.
        self.connection.execute(
            f"ATTACH '{str(self._scratch / 'kept.db').replace(chr(39), chr(39) * 2)}' AS kept (RECOVERY_MODE no_wal_writes)"
        )
        self.connection.execute("USE kept")
        self._made: list[str] = []
        self._number = 0
        self._diffs: dict[tuple[str, int | None, int | None], Changed | None] = {}
        self._loaded: dict[str, IcebergTable] = {}
        self._stores: StoreFiles | None = None

    def close(self) -> None:
        """End the session and remove its scratch files."""
        self.connection.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    # -- relations ---------------------------------------------------------------------------------------------------

    def fresh(self) -> Relation:
        """A new relation name; it is dropped by `forget`."""
        self._number += 1
        name = f"r{self._number}"
        self._made.append(name)
        return name

    def keep(self, sql: str) -> Relation:
        """Compute `sql` once and keep the rows."""
        name = self.fresh()
        self.connection.execute(f"CREATE TABLE {name} AS {sql}")
        return name

    def view(self, sql: str) -> Relation:
        """Name a query; it is computed wherever it is used."""
        # Not a VIEW: to make one, DuckDB would open every file that it reads.
        return f"({sql})"

    def table(self, rows: pa.Table) -> Relation:
        """Keep Arrow rows as a relation."""
        self.connection.register("arrow_rows", rows)
        try:
            return self.keep("SELECT * FROM arrow_rows")
        finally:
            self.connection.unregister("arrow_rows")

    def count(self, relation: Relation) -> int:
        """The number of rows of a relation."""
        # All of the result is fetched: an unfinished one keeps the connection from what comes next.
        [(rows,)] = self.connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
        return int(rows)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """All rows of a small query."""
        found: list[tuple[object, ...]] = self.connection.execute(sql).fetchall()
        return found

    def arrow(self, sql: str) -> pa.Table:
        """The result of `sql` as an Arrow table."""
        found: pa.Table = self.connection.sql(sql).to_arrow_table()
        return found

    def batches(self, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a query in Arrow batches; the session may be used for other queries meanwhile."""
        cursor = self.connection.cursor()
        cursor.execute("USE kept")
        try:
            yield from cursor.sql(sql).to_arrow_reader(rows)
        finally:
            cursor.close()

    def forget(self) -> None:
        """Drop every relation made since the last time."""
        for name in self._made:
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")
        self._made.clear()
        self._diffs.clear()
        self._loaded.clear()
        if self._stores is not None:
            self._stores.forget()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Relations made inside are dropped at the end."""
        try:
            yield
        finally:
            self.forget()

    # -- tables ------------------------------------------------------------------------------------------------------

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

    def files(self, table: Table, files: Sequence[DataFile], iceberg: IcebergTable, located: bool = False) -> str:
        """SQL that reads `files` as rows of `table`."""
        self.reach(files, iceberg)
        return read_files(table, [local_path(f.file_path) for f in files], iceberg.schema(), located)

    def reach(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """Let SQL of this session read data files of a table where they lie in a store."""
        if any(is_remote(file.file_path) for file in files):
            self._stores = self._stores or store_files(self.connection)
            self._stores.know(files, iceberg.io)

    def check(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """Compare files with their names before their rows are carried over into others. Raises DamagedError, OSError."""
        self.reach(files, iceberg)
        for file in files:
            if self._stores is not None and is_remote(file.file_path):
                self._stores.fetch(file.file_path, self._scratch)
            else:
                check_file(local_path(file.file_path))

    def scan(
        self,
        table: str,
        snapshot: int | None,
        keys: Relation | None = None,
        on: Mapping[str, str] | None = None,
        located: bool = False,
        within: tuple[str, datetime, datetime] | None = None,
    ) -> Relation:
        """See `Engine.scan`."""
        return duckdb_reads.scan(self, self.tables[table], snapshot, keys, on, located, within)

    def find(self, table: Table, snapshot: int | None, keys: Relation | None) -> Relation | None:
        """See `Engine.find`."""
        return duckdb_reads.find(self, table, snapshot, keys)

    def diff(self, table: str, since: int | None, until: int | None) -> Changed | None:
        """See `Engine.diff`. Several tables ask for the same changes: small ones are read once a session."""
        if (table, since, until) not in self._diffs:
            self._diffs[table, since, until] = duckdb_reads.diff(self, self.tables[table], since, until)
        return self._diffs[table, since, until]

    def parse(self, bronze_rows: Relation) -> Parsed:
        """See `Engine.parse`. Rows go through in chunks, so memory does not grow with their number."""
        stream = ParseStream(self)
        try:
            for chunk in judged_chunks(self, bronze_rows, self.max_record_bytes, _PARSE_ROWS):
                stream.feed(chunk)
            return stream.finish()
        except BaseException:
            stream.stop()
            raise

    def land(self) -> DuckDBLanding:
        """See `Engine.land`."""
        return DuckDBLanding(self, self._scratch)

    def parsed_relations(self) -> tuple[Relation, Relation]:
        """Two empty relations that parsed rows go into."""
        accepted, quarantined = self.fresh(), self.fresh()
        create_accepted(self.connection, accepted, self.contracts)
        create_quarantined(self.connection, quarantined)
        return accepted, quarantined

    def parse_chunk(
        self, connection: duckdb.DuckDBPyConnection, chunk: pa.Table, accepted: Relation, quarantined: Relation
    ) -> None:
        """Judge one Arrow chunk of bronze rows that has `reason` and `detail` of the splitter."""
        connection.register("chunk", chunk)
        try:
            parse(connection, "chunk", self.contracts, accepted, quarantined)
        finally:
            connection.unregister("chunk")

    def empty(self, table: Table, located: bool = False) -> Relation:
        """A relation of the table's columns without rows."""
        return self.view(read_files(table, [], None, located))

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
        live = {local_path(file.file_path): file for file in live_files(iceberg, base)}
        hit = set(live) if everything else set()
        rows_removed = 0
        if removed is not None and not everything:
            hit = {str(row[0]) for row in self.rows(f"SELECT DISTINCT _file FROM {removed}")}
            rows_removed = self.count(removed)
        writes = added
        if hit and not everything:
            # Or a flipped bit would be carried over into a file with a good checksum.
            self.check([live[path] for path in sorted(hit)], iceberg)
            names = ", ".join(table.column_names)
            kept = read_files(table, sorted(hit), iceberg.schema(), located=True)
            writes = self.view(
                f"SELECT {names} FROM ({kept}) AS s ANTI JOIN {removed} AS r ON s._file = r._file AND s._pos = r._pos"
                + (f" UNION ALL SELECT {names} FROM {added} AS a" if added is not None else "")
            )
        elif everything:
            rows_removed = sum(file.record_count for file in live.values())
        new_files = self.write(table, iceberg, writes) if writes else []
        carried = sum(live[path].record_count for path in hit) - rows_removed
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

    def rewrite(
        self, table: Table, base: int, locations: Sequence[str], select: str = "SELECT * FROM {rows}"
    ) -> Rewriting:
        """See `Engine.rewrite`."""
        return Rewriting(self, table, base, locations, select)

    def write(self, table: Table, iceberg: IcebergTable, rows: Relation) -> list[DataFile]:
        """Write rows as new data files of a table, in its order."""
        return write_files(self.connection, table, iceberg, rows, self.target_file_rows, self._scratch)

    def remove_files(self, locations: Sequence[str]) -> None:
        """Remove data files of a snapshot that was surely never published."""
        for iceberg in self._loaded.values():
            own = [location for location in locations if location.startswith(f"{iceberg.location()}/")]
            places_of(iceberg.io).remove(own)

    def _check_columns(self, table: Table, relation: Relation | None) -> None:
        """Refuse rows whose column names, order or types are not the declared ones, naming each."""
        if relation is None:
            return
        found = [(str(row[0]), str(row[1])) for row in self.rows(f"DESCRIBE SELECT * FROM {relation}")]
        declared = [(column.name, DUCKDB[column.type]) for column in table.columns]
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


def store_files(connection: duckdb.DuckDBPyConnection) -> StoreFiles:
    """A file system of this process, registered with a connection: imported only where a table lies in a store."""
    from carlake.engines.duckdb_stores import StoreFiles

    files = StoreFiles()
    connection.register_filesystem(files)
    return files


def _shown(columns: Sequence[tuple[str, str]], place: int) -> str:
    return " ".join(columns[place]) if place < len(columns) else "nothing"


def _sweep(scratch: Path) -> None:
    """Remove what sessions of dead processes have left."""
    for folder in scratch.glob("duckdb-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
