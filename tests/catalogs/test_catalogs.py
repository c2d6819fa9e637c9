"""The lake's catalog: opened by name, made once however many open it, waiting for locks, durable."""

from __future__ import annotations

import sqlite3
import threading
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import ServerError
from pyiceberg.typedef import EMPTY_DICT
from sqlalchemy import text

import at_once
from carlake import lake as lakes
from carlake.catalogs.by_name import BUSY_SECONDS, CATALOG_NAME, open_catalog, sqlite_uri, warehouse_location
from carlake.catalogs.metadata import make_namespace
from carlake.errors import LakeError
from carlake.lake import Lake
from carlake.settings import Settings

ROWS = pa.table({"n": [1, 2, 3]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lakes.create(tmp_path / "lake")


def test_the_catalog_is_one_file_of_the_lake(lake: Lake) -> None:
    catalog = open_catalog(Settings(namespace="fleet"), lake)
    assert catalog.list_namespaces() == [("fleet",)]
    table = catalog.create_table("fleet.t", ROWS.schema)
    table.append(ROWS)
    assert table.location() == f"file://{lake.warehouse}/fleet/t"
    assert sorted(path.name for path in lake.root.glob("catalog*")) == ["catalog.db"]
    assert open_catalog(Settings(namespace="fleet"), lake).load_table("fleet.t").scan().to_arrow() == ROWS


def test_a_second_namespace_is_made_in_the_same_catalog(lake: Lake) -> None:
    open_catalog(Settings(namespace="one"), lake)
    assert set(open_catalog(Settings(namespace="two"), lake).list_namespaces()) == {("one",), ("two",)}


@pytest.mark.parametrize("name", ["a b", "a%20b", "ü ☃", "a#b", "a?b", "a\nb", "it's", "a;b=c&d", "C:x"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    lake = lakes.create(tmp_path / name)
    table = open_catalog(Settings(), lake).create_table("carlake.t", ROWS.schema)
    table.append(ROWS)
    alone = SqlCatalog(CATALOG_NAME, uri=sqlite_uri(lake), warehouse=warehouse_location(lake))
    assert alone.load_table("carlake.t").scan().to_arrow() == ROWS
    alone.close()
    assert list(lake.warehouse.rglob("*.parquet")) != []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_eight_processes_may_open_a_new_catalog_at_once(lake: Lake) -> None:
    prepare = (
        "from carlake import lake, settings; from carlake.catalogs.by_name import open_catalog\n"
        "here = lake.open(sys.argv[1])"
    )
    work = "print(open_catalog(settings.Settings(), here).list_namespaces())"
    assert at_once.processes(prepare, work, str(lake.root)) == [(0, "[('carlake',)]\n", "")] * at_once.AT_ONCE


def test_threads_may_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        lake = lakes.create(tmp_path / str(attempt))
        assert at_once.threads(partial(open_catalog, Settings(), lake)) == []


def test_a_catalog_half_made_by_a_crash_is_completed(lake: Lake) -> None:
    lake.catalog_db.touch()
    open_catalog(Settings(), lake)
    with sqlite3.connect(lake.catalog_db) as database:
        database.execute("DROP TABLE iceberg_namespace_properties")
    database.close()
    assert open_catalog(Settings(), lake).list_namespaces() == [("carlake",)]


def test_a_writer_waits_for_another_ones_commit(lake: Lake) -> None:
    """SQLite's own wait is 5 s; the pragma shows what a connection really has."""
    catalog = open_catalog(Settings(), lake)
    with catalog.engine.connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == BUSY_SECONDS * 1000
    table = catalog.create_table("carlake.t", ROWS.schema)
    other = sqlite3.connect(lake.catalog_db, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    release.start()
    table.append(ROWS)
    release.join()
    other.close()
    assert catalog.load_table("carlake.t").scan().to_arrow() == ROWS


def test_a_commit_outlives_a_power_cut(lake: Lake) -> None:
    catalog = open_catalog(Settings(), lake)
    with catalog.engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 3  # EXTRA
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"


def test_opening_a_made_catalog_waits_for_no_lock_and_writes_nothing(lake: Lake) -> None:
    open_catalog(Settings(), lake)
    before = lake.catalog_db.stat()
    with lakes.exclusive(lake.lock):
        open_catalog(Settings(), lake)
    assert lake.catalog_db.stat().st_mtime_ns == before.st_mtime_ns


def test_a_lost_catalog_is_not_replaced_by_an_empty_one(lake: Lake) -> None:
    open_catalog(Settings(), lake).create_table("carlake.t", ROWS.schema)
    lake.catalog_db.unlink()
    with pytest.raises(LakeError, match=r"catalog\.db is missing, but .*warehouse holds tables\.\nPut the file back"):
        open_catalog(Settings(), lake)
    assert not lake.catalog_db.exists()


def test_a_damaged_catalog_is_named(lake: Lake) -> None:
    lake.catalog_db.write_bytes(b"not a database" * 100)
    with pytest.raises(LakeError, match=r"The catalog .*catalog\.db cannot be read: file is not a database"):
        open_catalog(Settings(), lake)


def test_another_catalog_of_pyiceberg_is_passed_through(lake: Lake, tmp_path: Path) -> None:
    settings = Settings(
        catalog="sql",
        catalog_uri=f"sqlite:///{tmp_path}/shared.db",
        catalog_properties={"pool_pre_ping": "true"},
        namespace="fleet",
    )
    catalog = open_catalog(settings, lake)
    assert catalog.properties["pool_pre_ping"] == "true"
    table = catalog.create_table("fleet.t", ROWS.schema)
    assert table.location() == f"file://{lake.warehouse}/fleet/t"
    assert type(table.io).__name__ == "DurableFileIO"
    assert not lake.catalog_db.exists()
    catalog.close()


def test_a_catalog_out_of_reach_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"The catalog of type 'rest' cannot be opened: .*Connection refused"):
        open_catalog(Settings(catalog="rest", catalog_uri="http://127.0.0.1:1"), lake)


def test_an_error_of_the_catalog_shows_no_secret(lake: Lake) -> None:
    settings = Settings(catalog="sql", catalog_uri="sqlite://", catalog_properties={"pool_pre_ping": "hunter2"})
    with pytest.raises(LakeError, match=r"cannot be opened: .*\*\*\*") as caught:
        open_catalog(settings, lake)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_catalog_that_is_not_installed_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"'hive' is not installed\.\n.*pip install 'pyiceberg\[hive\]'"):
        open_catalog(Settings(catalog="hive", catalog_uri="thrift://localhost:1"), lake)


class Slower(InMemoryCatalog):  # type: ignore[misc]  # PyIceberg is untyped here
    """A server's answer to the slower of two: its database's own error, as Iceberg's REST catalog over JDBC gives it."""

    wins_after = 0
    asked = 0

    def create_namespace(self, namespace: str, properties: Any = EMPTY_DICT) -> None:
        self.asked += 1
        if self.asked > self.wins_after:
            super().create_namespace(namespace, properties)
        raise ServerError("UncheckedSQLException: Failed to execute: INSERT INTO iceberg_namespace_properties")


@pytest.mark.parametrize("wins_after", [0, 2])
def test_the_slower_of_two_that_make_a_namespace_finds_it_there(wins_after: int) -> None:
    catalog = Slower("slower")
    catalog.wins_after = wins_after
    make_namespace(catalog, "fleet")
    assert catalog.namespace_exists("fleet") and catalog.asked == wins_after + 1


def test_a_server_that_makes_no_namespace_is_not_asked_for_ever() -> None:
    catalog = Slower("slower")
    catalog.wins_after = 1000
    with pytest.raises(ServerError):
        make_namespace(catalog, "fleet")
    assert catalog.asked == 4
