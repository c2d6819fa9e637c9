"""A DuckDB session for one query of a person: locked before it runs, stopped when its time is up."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import duckdb
import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile

from carlake.errors import QueryError
from carlake.storage.durable import places_of
from carlake.storage.places import Places, is_remote

Kind = Literal["files", "memory", "permission", "names", "other"]

_KINDS: tuple[tuple[type[duckdb.Error], Kind], ...] = (
    (duckdb.IOException, "files"),
    (duckdb.OutOfMemoryException, "memory"),
    (duckdb.PermissionException, "permission"),
    (duckdb.BinderException, "names"),
    (duckdb.CatalogException, "names"),
)

# DuckDB keeps these schema names for itself; a namespace of that name needs no second set of views.
_OWN_SCHEMAS = frozenset({"main", "temp", "system", "information_schema", "pg_catalog"})


class QueryFailedError(Exception):
    """DuckDB refused or failed a query: `text` is its message, `kind` what it was about."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


@dataclass(frozen=True)
class View:
    """What a query sees under one name: the SQL that makes it, and the files that this SQL reads.

    data, file_io  what manifests say of the files, and what reaches them: needed where they lie in an object store
    """

    name: str
    sql: str
    files: tuple[str, ...]
    data: tuple[DataFile, ...] = ()
    file_io: FileIO | None = None

    @property
    def places(self) -> Places:
        """What reads the files."""
        return places_of(self.file_io) if self.file_io is not None else Places()


class QuerySession:
    """An empty in-memory database. Use it as a context manager: parse, then lock, then run.

    memory_limit_bytes  beyond it DuckDB spills to a folder of its own in `scratch`
    All methods raise QueryFailedError.
    """

    def __init__(self, memory_limit_bytes: int, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._spill = tempfile.mkdtemp(prefix="query-", dir=scratch)
        self._connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_persistent_secrets": False,
                "temp_directory": self._spill,
                "memory_limit": f"{memory_limit_bytes}B",
            }
        )

    def __enter__(self) -> QuerySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def statements(self, sql: str) -> list[tuple[str, str]]:
        """The statements of a text, each as (kind in DuckDB's word, its own text)."""
        with _failures():
            return [(found.type.name, str(found.query)) for found in self._connection.extract_statements(sql)]

    def tree(self, statement: str) -> dict[str, Any] | None:
        """The syntax tree of one reading statement, as DuckDB's json_serialize_sql gives it; None for any other."""
        with _failures():
            row = self._connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
        document: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
        if document["error"] or len(document["statements"]) != 1:
            return None
        tree: dict[str, Any] = document["statements"][0]
        return tree

    def lock(self, views: Sequence[View], namespace: str | None = None) -> None:
        """Make the views, by bare names and under a namespace if one is given, and close the session for everything but their files.

        A file within reach may be read, but also overwritten (DuckDB has no narrower lock): what runs here must be
        known to be a reading statement, see `carlake.look.statement`.
        """
        files = [path for view in views for path in view.files]
        # The readers take `*?[` for wildcards; such a path is checked in its escaped form, too.
        escaped = ("".join(f"[{c}]" if c in "*?[" else c for c in path) for path in files)
        if any(map(is_remote, files)):
            from carlake.engines.duckdb.stores import StoreFiles

            stores = StoreFiles()
            for view in views:
                if view.file_io is not None:
                    stores.know(view.data, view.file_io)
            self._connection.register_filesystem(stores)
        with _failures():
            self._connection.execute("SET TimeZone = 'UTC'")
            self._connection.execute("SET enable_progress_bar = false")
            self._connection.execute("SET allowed_paths = ?", [list(dict.fromkeys([*files, *escaped]))])
            self._connection.execute("SET enable_external_access = false")
            if namespace in _OWN_SCHEMAS:
                namespace = None
            if namespace:
                self._connection.execute(f'CREATE SCHEMA "{namespace}"')
            for view in views:
                self._connection.execute(f'CREATE VIEW main."{view.name}" AS {view.sql}')
                if namespace:
                    self._connection.execute(f'CREATE VIEW "{namespace}"."{view.name}" AS FROM main."{view.name}"')
            self._connection.execute("SET lock_configuration = true")
            self._connection.execute("BEGIN TRANSACTION READ ONLY")

    def run(self, statement: str, seconds: float) -> pa.Table:
        """The rows of a reading statement. Raises QueryError once it has taken `seconds`."""
        with self._time_limit(seconds):
            try:
                rows: pa.Table = self._connection.sql(statement).to_arrow_table()
                return rows
            except (duckdb.BinderException, duckdb.CatalogException) as error:
                raise self._placed(statement, _failure(error)) from error
            except duckdb.Error as error:
                raise _failure(error) from error

    def _placed(self, statement: str, failure: QueryFailedError) -> QueryFailedError:
        """The failure with its place in the statement, which the message of a relation leaves out and EXPLAIN's has."""
        try:
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN TRANSACTION READ ONLY")
            self._connection.execute(f"EXPLAIN\n{statement}").fetchall()
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            text = re.sub(r"\nLINE (\d+):", lambda line: f"\nLINE {int(line.group(1)) - 1}:", str(error))
            return QueryFailedError(failure.kind, text.strip())
        except duckdb.Error:
            pass
        return failure

    @contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        done, expired = threading.Event(), threading.Event()

        def watch() -> None:
            wait = seconds
            while not done.wait(wait):
                expired.set()
                self._connection.interrupt()
                wait = 0.05  # an interrupt that falls between two steps of a query is lost

        watcher = threading.Thread(target=watch, name="carlake-query-limit", daemon=True)
        watcher.start()
        try:
            yield
        except Exception as error:
            if not expired.is_set():
                raise
            raise QueryError(
                f"The query was stopped after {seconds:g} seconds.",
                "Read less (a WHERE on car_chassis or on a time opens only the files that hold them), "
                "or raise the setting query_timeout_seconds.",
            ) from error
        finally:
            done.set()
            watcher.join()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _failure(error) from error


def _failure(error: duckdb.Error) -> QueryFailedError:
    kind: Kind = next((kind for of, kind in _KINDS if isinstance(error, of)), "other")
    return QueryFailedError(kind, str(error).strip())
