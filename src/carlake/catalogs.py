"""Catalogs: what knows the tables and swaps their metadata. Opened by the name in the settings.

The default is one SQLite file in the lake. Its journal is SQLite's own rollback journal, not WAL: between commits the
one file is the whole catalog, so a reader needs nothing beside it, also on a disk that may only be read, and any
engine's SQLite driver shares it. WAL would save 1.2 ms a commit. `synchronous` is EXTRA: an object is archived once
its commit is known, so a commit must outlive a power cut, and only EXTRA syncs the folder after the journal is removed
(https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NotInstalledError, RESTError
from pyiceberg.io import FileIO
from pyiceberg.table import CommitTableResponse, StagedTable, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from carlake.checksums import checksum
from carlake.errors import LakeError
from carlake.lake import Lake, exclusive
from carlake.places import forget_kept, is_remote
from carlake.settings import Settings
from carlake.storage import places_of, settle
from carlake.store_files import as_properties

CATALOG_NAME = "carlake"
"""The catalog's name. A SQL catalog records it in every row, so all engines must use this one."""

BUSY_SECONDS = 60
"""How long a writer waits for another process's commit before SQLite says "database is locked"."""

_FILE_IO = "carlake.storage.DurableFileIO"
_FILE = "carlake.catalog-file"
_TABLES = {"iceberg_tables", "iceberg_namespace_properties"}
_KNOWN_METADATA = 32
_SECRET = re.compile("key|secret|token|password")
_IMMUTABLE_LISTS = ("snapshots", "snapshot_log", "metadata_log", "schemas", "partition_specs", "sort_orders")
_CUT_FROM_A_URI = "#?\t\r\n"  # PyIceberg takes a location apart as a URL, and would lose these and what follows


def open_catalog(settings: Settings, lake: Lake) -> Catalog:
    """The lake's catalog, with its namespace made if missing. Safe when several processes open it first at once.

    `catalog = "sqlite"` is `catalog.db` in the lake; any other type goes to PyIceberg with `catalog_uri` and
    `catalog_properties`. Raises `LakeError` where the catalog is missing, damaged, out of reach or not installed.
    """
    try:
        if settings.catalog == "sqlite":
            properties = {**file_io_properties(settings), **plain_properties(settings)}
            return SqliteCatalog.of(lake, settings.namespace, properties)
        catalog = load_catalog(CATALOG_NAME, **_pass_through(settings, lake))
        make_namespace(catalog, settings.namespace)
    except NotInstalledError as error:
        raise LakeError(
            f"The catalog type {settings.catalog!r} is not installed.", _redacted(error, settings)
        ) from None
    except (SQLAlchemyError, RESTError, ValueError, OSError) as error:
        where = lake.catalog_db if settings.catalog == "sqlite" else f"of type {settings.catalog!r}"
        raise LakeError(f"The catalog {where} cannot be opened: {_redacted(error, settings)}") from None
    return catalog


def forget_metadata(catalog: Catalog) -> None:
    """Parse every metadata file again when it is next needed: for checks of what really lies there."""
    forget_kept()
    if isinstance(catalog, SqliteCatalog):
        catalog.known_metadata.clear()


def sqlite_uri(lake: Lake) -> str:
    """The address of the lake's catalog, as SQLAlchemy and PyIceberg take it."""
    return _url(lake.catalog_db).render_as_string()


def warehouse_location(lake: Lake) -> str:
    """The location of the warehouse, as tables record it: a `file://` URI, not encoded, as Iceberg has them, or the URI
    of a place in an object store.

    A path with a character that would end or vanish from a URI (`#`, `?`, a line break) is recorded bare.
    """
    if lake.warehouse_uri:
        return lake.warehouse_uri
    path = str(lake.warehouse)
    return path if any(character in path for character in _CUT_FROM_A_URI) else f"file://{path}"


def plain_properties(settings: Settings) -> dict[str, str]:
    """`catalog_properties` with the secrets readable: for the catalog, never for people."""
    return {key: value.get_secret_value() for key, value in settings.catalog_properties.items()}


def file_io_properties(settings: Settings) -> dict[str, str]:
    """What lets a catalog's tables reach an object store as `store_properties` say, secrets readable.

    PyIceberg's own names, which other programs' FileIO and Spark's S3FileIO know too, and carlake's.
    """
    return as_properties({name.lower(): value.get_secret_value() for name, value in settings.store_properties.items()})


def make_namespace(catalog: Catalog, namespace: str) -> None:
    """Make the namespace where it is missing; another process may win."""
    if not catalog.namespace_exists(namespace):
        with contextlib.suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(namespace)


class SqliteCatalog(SqlCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
    """PyIceberg's SQL catalog on the lake's own file: waits for locks, commits durably, is made under a lock.

    PyIceberg's own waits 5 s for a lock, and collides when several processes open it for the first time.
    """

    @classmethod
    def of(cls, lake: Lake, namespace: str, properties: dict[str, str]) -> SqliteCatalog:
        """Open it, making database and namespace if missing. Raises LakeError, SQLAlchemyError."""
        if _is_made(lake.catalog_db, namespace):
            return cls._of(lake, properties)
        with exclusive(lake.lock):
            if not lake.catalog_db.exists() and any(lake.warehouse.iterdir()):
                raise LakeError(
                    f"{lake.catalog_db} is missing, but {lake.warehouse} holds tables.",
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
            "py-io-impl": _FILE_IO,
            _FILE: str(lake.catalog_db),
        }
        return cls(CATALOG_NAME, **{**properties, **own})

    def _init_catalog(self) -> None:
        """Called by PyIceberg once `self.engine` is made, before its first use."""
        # No pool: opening the file costs 0.2 ms, and a connection left open outlives a fork and the catalog's owner.
        self.engine = create_engine(
            _url(self.properties[_FILE]), connect_args={"timeout": BUSY_SECONDS}, poolclass=NullPool
        )
        event.listen(self.engine, "connect", _commit_durably)
        super()._init_catalog()
        self.known_metadata: OrderedDict[str, TableMetadata] = OrderedDict()

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        """The table of a catalog row. A metadata file never changes, so the newest ones are parsed once."""
        location = orm_table.metadata_location
        metadata = self.known_metadata.get(location) if location else None
        if metadata is None:
            table = super()._convert_orm_to_iceberg(orm_table)
            self._know(table.metadata_location, table.metadata)
            return table
        return Table(
            identifier=(*Catalog.identifier_to_tuple(orm_table.table_namespace), orm_table.table_name),
            metadata=metadata,
            metadata_location=location,
            io=self._load_file_io(metadata.properties, location),
            catalog=self,
        )

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """PyIceberg's own compare-and-swap; what it published need not be parsed again."""
        response = super().commit_table(table, requirements, updates)
        self._know(response.metadata_location, response.metadata)
        return response

    def _update_and_stage_table(self, *args: Any) -> StagedTable:
        """Called by PyIceberg in a commit: the metadata file's name has the checksum of what will be written."""
        staged = super()._update_and_stage_table(*args)
        folder, _, name = staged.metadata_location.rpartition("/")
        content = staged.metadata.model_dump_json(exclude_none=True).encode()
        staged.metadata_location = f"{folder}/{name.partition('-')[0]}-{checksum(content)}.metadata.json"
        return staged

    @staticmethod
    def _write_metadata(metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:
        """Called by PyIceberg in a commit. The same commit, sent again, finds the file of the try before."""
        places = places_of(io)
        try:
            SqlCatalog._write_metadata(metadata, io, metadata_path)
        except FileExistsError:
            if not places.is_whole(metadata_path):
                # Cut short, so no catalog names it: a try that was broken off names no file.
                places.remove([metadata_path])
                SqlCatalog._write_metadata(metadata, io, metadata_path)
            settle()
        except OSError:
            if not is_remote(metadata_path):
                places.remove([metadata_path])  # where the disk is full, half a file is in the way
            raise

    def _know(self, location: str, metadata: TableMetadata) -> None:
        shared = {name: _Shared(getattr(metadata, name)) for name in _IMMUTABLE_LISTS}
        self.known_metadata[location] = metadata.model_copy(update=shared)
        self.known_metadata.move_to_end(location)
        while len(self.known_metadata) > _KNOWN_METADATA:
            self.known_metadata.popitem(last=False)


class _Shared(list[Any]):
    """A list whose items never change, so that a deep copy need not copy them.

    PyIceberg copies a table's whole metadata with every commit: 7 ms for 40 snapshots, 50 for 300.
    """

    def __deepcopy__(self, _memo: object) -> _Shared:
        return _Shared(self)

    def __add__(self, more: list[Any]) -> _Shared:
        return _Shared([*self, *more])


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


def _pass_through(settings: Settings, lake: Lake) -> dict[str, str]:
    properties = {"type": settings.catalog, **file_io_properties(settings), **plain_properties(settings)}
    if settings.catalog_uri is not None:
        properties["uri"] = settings.catalog_uri.get_secret_value()
    if settings.catalog in ("sql", "in-memory"):  # these have no warehouse of their own
        properties.setdefault("warehouse", warehouse_location(lake))
    properties.setdefault("py-io-impl", _FILE_IO)
    return properties


def _redacted(error: Exception, settings: Settings) -> str:
    """The error's text without any secret of the settings; its cause is not shown either, for it holds them too."""
    secrets = list(plain_properties(settings).values())
    secrets += [
        value.get_secret_value() for name, value in settings.store_properties.items() if _SECRET.search(name.lower())
    ]
    if settings.catalog_uri is not None:
        uri = settings.catalog_uri.get_secret_value()
        secrets += [uri, urlsplit(uri).password or ""]
    text = str(error)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***") if secret else text
    return text
