"""Catalogs in an SQL database, by PyIceberg's SqlCatalog: connections that do not wait for ever, metadata parsed once."""

from __future__ import annotations

import contextlib
import os
import re
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

import stamina
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from sqlalchemy import URL, Engine, bindparam, create_engine, event, make_url, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from carlake.catalogs.metadata import WritesMetadata

CONNECT_SECONDS = 10
"""How long a connection to a database server may take."""

STATEMENT_SECONDS = 60
"""How long the server works at one statement, waits for a lock included, before it gives up."""

_KNOWN_METADATA = 32
_IMMUTABLE_LISTS = ("snapshots", "snapshot_log", "metadata_log", "schemas", "partition_specs", "sort_orders")
_LOCATION = select(IcebergTables.metadata_location).where(
    IcebergTables.catalog_name == bindparam("catalog"),
    IcebergTables.table_namespace == bindparam("namespace"),
    IcebergTables.table_name == bindparam("table"),
)
_READ_TRIES, _READ_SECONDS = 5, 15.0
_MAKE_TRIES = 5

# What PostgreSQL and its driver say of a server that is to be there again soon.
_PASSING = (
    *("refused", "closed the connection", "reset by peer", "terminating"),
    *("starting up", "shutting down", "not yet accepting", "recovery mode"),
)

Answer = TypeVar("Answer")


class LakeSqlCatalog(WritesMetadata, SqlCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
    """PyIceberg's SQL catalog, for a database that several processes of several machines share.

    Reads are asked again while the server restarts. Commits are not: `refresh.commit` knows how to find out what became
    of one.
    """

    engine: Engine

    def _engine(self) -> Engine:
        """The connections. Called by `_init_catalog`."""
        return connections(make_url(self.properties["uri"]), self.properties.get("pool_pre_ping") != "false")

    def _init_catalog(self) -> None:
        """Called by PyIceberg once it has an engine of its own, before the first use of it."""
        self.engine.dispose()
        self.engine = self._engine()
        # A connection is closed with the catalog, however that ends; the driver warns of one that is only forgotten.
        weakref.finalize(self, self.engine.dispose)
        self.known_metadata: OrderedDict[str, TableMetadata] = OrderedDict()
        for attempt in range(_MAKE_TRIES):
            try:
                super()._init_catalog()
                return
            except (IntegrityError, ProgrammingError, OperationalError) as error:
                # Another process made the tables at the same moment, and was first.
                if attempt == _MAKE_TRIES - 1 or not _is_there_already(error):
                    raise
                time.sleep(0.05 * 2**attempt)

    def create_namespace(self, namespace: Any, properties: Any = None) -> None:
        """As PyIceberg's. Raises NamespaceAlreadyExistsError also where another process was first by a moment."""
        try:
            super().create_namespace(namespace, properties or {})
        except IntegrityError as error:
            raise NamespaceAlreadyExistsError(f"Namespace {namespace} already exists") from error

    def load_table(self, identifier: Any) -> Table:
        """As PyIceberg's. A metadata file never changes, so the newest ones are parsed once."""
        return _asked_again(lambda: self._known(identifier) or super(LakeSqlCatalog, self).load_table(identifier))

    def _known(self, identifier: Any) -> Table | None:
        """The table, where its metadata is known; asked for without the ORM, whose session costs four times the rest."""
        name = Catalog.identifier_to_tuple(identifier)
        location = self._location(".".join(name[:-1]), name[-1])
        metadata = self.known_metadata.get(location) if location else None
        if metadata is None:
            return None
        io = self._load_file_io(metadata.properties, location)
        return Table(identifier=name, metadata=metadata, metadata_location=location, io=io, catalog=self)

    def _location(self, namespace: str, table: str) -> str | None:
        """Where the table's metadata is; None where there is no such table."""
        with self.engine.connect() as connection:
            found = connection.execute(_LOCATION, {"catalog": self.name, "namespace": namespace, "table": table})
            return cast("str | None", found.scalar())

    def namespace_exists(self, identifier: Any) -> bool:
        """As PyIceberg's."""
        return bool(_asked_again(lambda: super(LakeSqlCatalog, self).namespace_exists(identifier)))

    def close(self) -> None:
        """End the connections."""
        self.engine.dispose()

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        """Called by PyIceberg with a row of the catalog."""
        table = super()._convert_orm_to_iceberg(orm_table)
        self._know(table.metadata_location, table.metadata)
        return table

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """PyIceberg's own compare-and-swap; what it published need not be parsed again."""
        response = super().commit_table(table, requirements, updates)
        self._know(response.metadata_location, response.metadata)
        return response

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


def psycopg_uri(uri: str) -> str:
    """The address of a database with the driver that carlake brings for PostgreSQL; any other as it is."""
    return re.sub(r"^(postgresql|postgres)(\+\w+)?://", "postgresql+psycopg://", uri)


def connections(url: URL, pre_ping: bool = True) -> Engine:
    """Connections to a database: at most one stays open, and none survives a fork.

    PostgreSQL with limits on how long a server that is silent is waited for;
    what the address says itself (`?connect_timeout=3`) counts more. Raises ModuleNotFoundError where a driver is missing.
    """
    if url.get_backend_name() != "postgresql":
        pool: dict[str, Any] = {"poolclass": NullPool} if url.get_backend_name() == "sqlite" else {}
        return create_engine(url, pool_pre_ping=pre_ping, **pool)
    limits: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * STATEMENT_SECONDS // 2,
        "application_name": "carlake",
    }
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",  # the commit's WHERE is looked at again after another's commit was waited for
        use_native_hstore=False,  # asking for that type would be a transaction of its own on each new connection
        pool_size=1,
        max_overflow=8,
        pool_pre_ping=pre_ping,
        pool_recycle=300,
        # Poolers in front of a server (PgBouncer) give each transaction another connection.
        connect_args={"prepare_threshold": None} | {k: v for k, v in limits.items() if k not in url.query},
    )
    event.listen(engine, "connect", _set_up_postgres)
    forget = weakref.WeakMethod(engine.dispose)

    def in_a_child() -> None:
        if (dispose := forget()) is not None:
            dispose(close=False)

    os.register_at_fork(after_in_child=in_a_child)
    return engine


def _set_up_postgres(connection: Any, _record: Any) -> None:
    # By statements and not by the start-up options, which poolers refuse. A commit must outlive a power cut of the
    # server whatever its default: an object is archived once its commit is known.
    before = connection.autocommit
    connection.autocommit = True
    connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{STATEMENT_SECONDS}s'")
    level = connection.execute("SHOW synchronous_commit").fetchone()[0]
    if level in ("off", "local"):
        connection.execute("SET synchronous_commit = on")
    connection.autocommit = before


def _asked_again(ask: Callable[[], Answer]) -> Answer:
    """What a read gives, asked again while the server cannot be reached: it restarts, or another takes its place."""
    again = stamina.retry_context(
        on=_is_out_of_reach,
        attempts=_READ_TRIES,
        timeout=_READ_SECONDS,
        wait_initial=0.2,
        wait_max=5.0,
        wait_jitter=0.5,
    )
    for attempt in again:
        with attempt:
            return ask()
    raise AssertionError("unreachable")  # the last try raises


def _is_out_of_reach(error: Exception) -> bool:
    """Whether a server was not reached, or left: never a refusal, such as a wrong password."""
    if not isinstance(error, OperationalError) or isinstance(error, ProgrammingError):
        return False
    text = str(error.orig)
    return error.connection_invalidated or any(sign in text for sign in _PASSING)


def _is_there_already(error: DBAPIError) -> bool:
    with contextlib.suppress(AttributeError):
        return str(error.orig.sqlstate) in ("23505", "42P07", "42710")  # type: ignore[union-attr]
    return "already exists" in str(error)
