"""The default catalog: one SQLite file in the lake.

Its journal is SQLite's own rollback journal, not WAL: between commits the one file is the whole catalog, so a reader
needs nothing beside it, also on a disk that may only be read, and any engine's SQLite driver shares it. WAL would save
1.2 ms a commit. `synchronous` is EXTRA: an object is archived once its commit is known, so a commit must outlive a power
cut, and only EXTRA syncs the folder after the journal is removed (https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from carlake.catalogs.metadata import CATALOG_NAME, FILE_IO, make_namespace, warehouse_location
from carlake.catalogs.sql import LakeSqlCatalog
from carlake.errors import LakeError
from carlake.lake import Lake, exclusive
from carlake.storage.places import Places
from carlake.storage.store_files import store_options

BUSY_SECONDS = 60
"""How long a writer waits for another process's commit before SQLite says "database is locked"."""

_FILE = "carlake.catalog-file"
_LOCATION = (
    "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?"
)
_TABLES = {"iceberg_tables", "iceberg_namespace_properties"}


def sqlite_uri(lake: Lake) -> str:
    """The address of the lake's catalog, as SQLAlchemy and PyIceberg take it."""
    return _url(lake.catalog_db).render_as_string()


class SqliteCatalog(LakeSqlCatalog):
    """PyIceberg's SQL catalog on the lake's own file: waits for locks, commits durably, is made under a lock.

    PyIceberg's own waits 5 s for a lock, and collides when several processes open it for the first time.
    """

    @classmethod
    def of(cls, lake: Lake, namespace: str, properties: dict[str, str]) -> SqliteCatalog:
        """Open it, making database and namespace if missing. Raises LakeError, SQLAlchemyError."""
        if _is_made(lake.catalog_db, namespace):
            return cls._of(lake, properties)
        with exclusive(lake.lock):
            if not lake.catalog_db.exists() and _holds_tables(lake, namespace, properties):
                raise LakeError(
                    f"{lake.catalog_db} is missing, but {lake.warehouse_uri or lake.warehouse} holds tables.",
                    "Put the file back, or have it made anew from the tables' metadata: carlake recover",
                )
            catalog = cls._of(lake, properties)
            make_namespace(catalog, namespace)
            return catalog

    @classmethod
    def _of(cls, lake: Lake, properties: dict[str, str]) -> SqliteCatalog:
        own = {
            "uri": sqlite_uri(lake),
            "warehouse": warehouse_location(lake),
            "py-io-impl": FILE_IO,
            _FILE: str(lake.catalog_db),
        }
        return cls(CATALOG_NAME, **{**properties, **own})

    def _engine(self) -> Engine:
        # No pool: opening the file costs 0.2 ms, and a connection left open outlives a fork and the catalog's owner.
        engine = create_engine(_url(self.properties[_FILE]), connect_args={"timeout": BUSY_SECONDS}, poolclass=NullPool)
        event.listen(engine, "connect", _commit_durably)
        return engine

    def _location(self, namespace: str, table: str) -> str | None:
        # A run looks up thirty tables; SQLAlchemy's way to one row takes four times as long as the driver's own.
        uri = f"file:{quote(self.properties[_FILE])}?mode=ro"
        with contextlib.suppress(sqlite3.Error):  # asked again in the usual way, which names what is wrong
            with contextlib.closing(sqlite3.connect(uri, timeout=BUSY_SECONDS, uri=True)) as database:
                found = database.execute(_LOCATION, (self.name, namespace, table)).fetchone()
                return str(found[0]) if found and found[0] else None
        return super()._location(namespace, table)


def _holds_tables(lake: Lake, namespace: str, properties: dict[str, str]) -> bool:
    if not lake.warehouse_uri:
        return any(lake.warehouse.iterdir())
    return bool(Places(store_options(properties)).folders(f"{lake.warehouse_uri}/{namespace}"))


def _url(file: Path | str) -> URL:
    # Made of parts: which characters of a path need an escape in the text differs between SQLAlchemy 2.0 and 2.1.
    return URL.create("sqlite", database=str(file))


def _commit_durably(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = EXTRA").close()


def _is_made(file: Path, namespace: str) -> bool:
    """Whether the database has its tables and the namespace, so that no lock is needed. Writes nothing."""
    if not file.exists():
        return False
    found = "SELECT name FROM sqlite_master WHERE type = 'table'"
    has = "SELECT count(*) FROM iceberg_namespace_properties WHERE catalog_name = ? AND namespace = ?"
    with contextlib.closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as database:
        try:
            if not {name for (name,) in database.execute(found)} >= _TABLES:
                return False
            return bool(database.execute(has, (CATALOG_NAME, namespace)).fetchone()[0])
        except sqlite3.DatabaseError as error:
            raise LakeError(
                f"The catalog {file} cannot be read: {error}.",
                "Put the file back, or have it made anew: carlake recover",
            ) from None
