"""The embedded engine: DuckDB computes, PyIceberg stages, in one process."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.contracts.contract import ContractSet
from carlake.engines.duckdb.files import local_path, read_files, write_files
from carlake.engines.duckdb.judge import judged_chunks
from carlake.engines.duckdb.land import DuckDBLanding
from carlake.engines.duckdb.parse import create_accepted, create_quarantined, parse
from carlake.engines.duckdb.rewrite import Rewriting
from carlake.engines.duckdb.stream import ParseStream
from carlake.engines.protocol import Parsed, Relation
from carlake.engines.schemas import DUCKDB
from carlake.engines.scratch import own_folder
from carlake.engines.table_engine import TableEngine
from carlake.storage.checksums import check_file
from carlake.storage.places import Places, is_remote
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.engines.duckdb.stores import StoreFiles

_PARSE_ROWS = 50_000


class DuckDBEngine(TableEngine):
    """One session. Not for use by several threads at once; `cursor` gives a thread its own connection to it."""

    name = "duckdb"
    types = DUCKDB

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
        super().__init__(catalog, namespace, tables)
        self.contracts = contracts
        self.max_record_bytes = max_record_bytes
        # About 160 bytes a row of silver, the widest table.
        self.target_file_rows = max(target_file_bytes // 160, 1000)
        # Arrow's own allocator gives memory back at once and faults it in again for the next chunk; malloc keeps it.
        pa.set_memory_pool(pa.system_memory_pool())
        self._scratch = own_folder(scratch, "duckdb")
        self.connection = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute("SET enable_progress_bar = false")
        # Nothing leaves that cache: each commit's files would stay in it, 0.1 MB a commit, as long as the process lives.
        self.connection.execute("SET parquet_metadata_cache = false")
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
        self._number = 0
        self._kept_rows: dict[Relation, int] = {}
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
        [(self._kept_rows[name],)] = self.connection.execute(f"CREATE TABLE {name} AS {sql}").fetchall()
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
        if (kept := self._kept_rows.get(relation)) is not None:
            return kept
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
        self._kept_rows.clear()
        super().forget()
        if self._stores is not None:
            self._stores.forget()

    # -- tables ------------------------------------------------------------------------------------------------------

    def files(
        self,
        table: Table,
        files: Sequence[DataFile],
        iceberg: IcebergTable,
        located: bool = False,
        only: Collection[str] | None = None,
        snapshot: int | None = None,
    ) -> str:
        """See `TableEngine.files`."""
        self.reach(files, iceberg)
        return read_files(table, [local_path(f.file_path) for f in files], iceberg.schema(), located, only)

    def place(self, file: DataFile) -> str:
        """See `TableEngine.place`."""
        return local_path(file.file_path)

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """See `TableEngine.columns`."""
        return [(str(row[0]), str(row[1])) for row in self.rows(f"DESCRIBE SELECT * FROM {relation}")]

    def reach(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """Let SQL of this session read data files of a table where they lie in a store."""
        if any(is_remote(file.file_path) for file in files):
            self._stores = self._stores or store_files(self.connection)
            self._stores.know(files, iceberg.io)

    def reach_file(self, location: str, size: int, places: Places) -> None:
        """As `reach`, for a file of a store that no manifest describes."""
        self._stores = self._stores or store_files(self.connection)
        self._stores.know_at(location, size, places)

    def check(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """Compare files with their names before their rows are carried over into others. Raises DamagedError, OSError."""
        self.reach(files, iceberg)
        for file in files:
            if self._stores is not None and is_remote(file.file_path):
                self._stores.fetch(file.file_path, self._scratch)
            else:
                check_file(local_path(file.file_path))

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

    # -- staging -----------------------------------------------------------------------------------------------------

    def rewrite(
        self, table: Table, base: int, locations: Sequence[str], select: str = "SELECT * FROM {rows}"
    ) -> Rewriting:
        """See `Engine.rewrite`."""
        return Rewriting(self, table, base, locations, select)

    def write(self, table: Table, iceberg: IcebergTable, rows: Relation, most: int | None = None) -> list[DataFile]:
        """Write rows as new data files of a table, in its order."""
        return write_files(self.connection, table, iceberg, rows, self.target_file_rows, self._scratch)


def store_files(connection: duckdb.DuckDBPyConnection) -> StoreFiles:
    """A file system of this process, registered with a connection: imported only where a table lies in a store."""
    from carlake.engines.duckdb.stores import StoreFiles

    files = StoreFiles()
    connection.register_filesystem(files)
    return files
