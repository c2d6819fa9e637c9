"""The catalog of a lake that is recovered: made anew, or brought to name another metadata file of a table."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError

from carlake import lake as lakes
from carlake.catalogs.by_name import BUSY_SECONDS, CATALOG_NAME, SqliteCatalog, open_catalog, warehouse_location
from carlake.errors import LakeError
from carlake.lake import Lake
from carlake.settings import Settings
from carlake.storage.durable import fsync_dir, fsync_file
from carlake.storage.store_paths import AnyPath, StorePath
from carlake.upkeep.inspection.place import Place

_BESIDE = ("-journal", "-wal", "-shm")


def location_of(path: AnyPath, place: Place) -> str:
    """How the catalog of a lake that lies at `place` records a file of its warehouse."""
    if isinstance(path, StorePath):
        return path.location
    warehouse = warehouse_location(Lake(place.root, ""))
    return warehouse + str(path).removeprefix(str(place.root / "warehouse"))


def make_anew(
    lake: Lake, namespace: str, pointers: Mapping[str, str], properties: Mapping[str, str] | None = None
) -> Path | None:
    """Make catalog.db anew with these tables, which FileIO reaches by `properties`; gives where the old file was set aside, None where there was none.

    The new file takes the old one's place at once, complete; a crash before leaves the old one. Raises LakeError, OSError.
    """
    own = lake.lock.parent
    own.mkdir(parents=True, exist_ok=True)
    with lakes.exclusive(lake.lock):
        for stale in own.glob("new-catalog-*"):
            shutil.rmtree(stale, ignore_errors=True)
        apart = Lake(own / f"new-catalog-{os.getpid()}", lake.id)
        apart.warehouse.mkdir(parents=True)
        catalog = SqliteCatalog.of(apart, namespace, dict(properties or {}))
        for name, location in pointers.items():
            catalog.register_table(f"{namespace}.{name}", location)
        catalog.close()
        fsync_file(apart.catalog_db)
        aside = _set_aside(lake.catalog_db)
        apart.catalog_db.replace(lake.catalog_db)
        fsync_dir(lake.root)
        shutil.rmtree(apart.root, ignore_errors=True)
    return aside


def _set_aside(file: Path) -> Path | None:
    """Give a damaged catalog another name; it keeps its own, too, until a new one takes it."""
    if not file.exists():
        return None
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    # A journal belongs to the old file: SQLite would roll the new one back by it.
    for end in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            file.with_name(f"{file.name}{end}").rename(f"{aside}{end}")
    os.link(file, aside)
    return aside


def point(settings: Settings, lake: Lake, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Let the catalog name other metadata files, each (before, after) by its table; None before is a table that it does
    not know, None after one that it shall forget. In the lake's own catalog all of them at once.

    Raises LakeError where another process was faster; then nothing of this catalog has changed.
    """
    if settings.catalog == "sqlite":
        _point_sqlite(settings.namespace, lake, moves)
    else:
        _point_other(open_catalog(settings, lake), settings.namespace, moves)


def _point_sqlite(namespace: str, lake: Lake, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
    own = "catalog_name = ? AND table_namespace = ? AND table_name = ?"
    with contextlib.closing(sqlite3.connect(lake.catalog_db, timeout=BUSY_SECONDS)) as database:
        database.execute("PRAGMA synchronous = EXTRA")
        with database:
            database.execute("BEGIN IMMEDIATE")
            for name, (before, after) in moves.items():
                key = (CATALOG_NAME, namespace, name)
                if before is None:
                    columns = "catalog_name, table_namespace, table_name, metadata_location"
                    values: tuple[str | None, ...] = (*key, after)
                    if _has_type(database):
                        columns, values = f"{columns}, iceberg_type", (*values, "TABLE")
                    marks = ", ".join("?" * len(values))
                    sql = f"INSERT OR IGNORE INTO iceberg_tables ({columns}) VALUES ({marks})"
                    changed = database.execute(sql, values)
                elif after is None:
                    sql = f"DELETE FROM iceberg_tables WHERE {own} AND metadata_location = ?"
                    changed = database.execute(sql, (*key, before))
                else:
                    sql = f"UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = NULL WHERE {own} AND metadata_location = ?"
                    changed = database.execute(sql, (after, *key, before))
                if changed.rowcount != 1:
                    raise LakeError(
                        f"Table {name} was changed by another process meanwhile.",
                        "Stop what writes, and recover again.",
                    )


def _has_type(database: sqlite3.Connection) -> bool:
    return any(row[1] == "iceberg_type" for row in database.execute("PRAGMA table_info(iceberg_tables)"))


def _point_other(catalog: Catalog, namespace: str, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
    """A crash between the two calls leaves a table that the catalog does not know: the next recovery enters it."""
    for name, (before, after) in moves.items():
        identifier = f"{namespace}.{name}"
        if before is not None:
            with contextlib.suppress(NoSuchTableError):
                catalog.drop_table(identifier)
        if after is not None:
            try:
                catalog.register_table(identifier, after)
            except TableAlreadyExistsError:
                _take_out_unreadable(catalog, identifier)
                catalog.register_table(identifier, after)


def _take_out_unreadable(catalog: Catalog, identifier: str) -> None:
    """Take a table out whose metadata nobody can read: a look at the catalog does not find it, and its name is taken."""
    try:
        catalog.load_table(identifier)
    except NoSuchTableError:
        return
    except (FileNotFoundError, ValueError):
        catalog.drop_table(identifier)
        return
    raise LakeError(
        f"Table {identifier} was entered by another process meanwhile.", "Stop what writes, and recover again."
    )
