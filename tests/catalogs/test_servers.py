"""Catalogs that are servers: answers that are lost on the way, and servers that go and come back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import at_once
from carlake import lake as lakes
from carlake.catalogs import rest as catalogs_rest
from carlake.catalogs import sql as catalogs_sql
from carlake.catalogs.by_name import close_catalog, open_catalog
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, MODIFIED, expected, held, iceberg, lakehouse, nested, put
from servers.cutting import Cutting, cutting
from servers.shared import Servers

TABLES = 6
"""So many commits a run of a new file makes."""


@dataclass
class Reached:
    """A catalog by way of a server that can lose answers. `sign` is in each request that commits."""

    settings: Settings
    way: Cutting
    sign: bytes
    server: Any

    @contextmanager
    def restarting(self) -> Iterator[None]:
        """Crash the server; it is back a moment later, and in the end."""
        self.server.crash()
        starting = threading.Timer(0.4, self.server.start)
        starting.start()
        try:
            yield
        finally:
            starting.join()


@pytest.fixture(params=["postgres", "rest"])
def reached(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Reached]:
    own = f"cut_{uuid.uuid4().hex[:12]}"
    plain: dict[str, Any] = {"threads": 1, "maintenance": "off"}
    if request.param == "postgres":
        servers.postgres.database(own)
        with cutting(servers.postgres.port) as way:
            uri = servers.postgres.uri(own, port=way.port)
            yield Reached(Settings(catalog="postgres", catalog_uri=uri, **plain), way, b"COMMIT\0", servers.postgres)
        return
    with cutting(servers.rest.port) as way:
        uri = f"http://127.0.0.1:{way.port}"
        settings = Settings(catalog="rest", catalog_uri=uri, namespace=own, **plain)
        yield Reached(settings, way, b'"requirements":', servers.rest)


@pytest.fixture
def house(reached: Reached, small_folder: Path) -> Iterator[Lakehouse]:
    """A lake that has its tables, and one record."""
    with lakehouse(small_folder / "lake", reached.settings) as found:
        put(found.lake.landing / "first.json", record(0))
        assert found.run().status == "succeeded"
        yield found


def record(number: int) -> str:
    hot = {"engine_temp_celsius": 120, "trip_distance_km": 3.5, "trip_fuel_consumed_liters": 1}
    return nested("A", f"e{number}", f"2025-10-0{number + 1}T00:00:00Z", "2025-10-20T00:00:00Z", **hot)


def is_right(house: Lakehouse, records: int) -> None:
    assert held(house) == expected([(record(number), MODIFIED) for number in range(records)])
    verified = house.verify(deep=True)
    assert (verified.problems, verified.behind, verified.records) == ((), (), records)


def test_a_lost_answer_is_found_out(house: Lakehouse, reached: Reached) -> None:
    """Every commit of a run lands, and no answer to one arrives."""
    before = len(iceberg(house, BRONZE).snapshots())
    put(house.lake.landing / "second.json", record(1))
    reached.way.lose_after(reached.sign, times=TABLES)
    assert house.run().status == "succeeded"
    assert reached.way.lost >= TABLES - 1  # quarantine has nothing to say of it
    assert len(iceberg(house, BRONZE).snapshots()) == before + 1
    is_right(house, 2)


def test_a_request_that_arrives_twice_is_one_commit(house: Lakehouse, reached: Reached) -> None:
    """Something on the way sends it again: the refusal that comes back is our own success."""
    put(house.lake.landing / "second.json", record(1))
    catalog = house.catalog
    commit = catalog.commit_table

    def twice(*arguments: Any) -> Any:
        commit(*arguments)
        return commit(*arguments)

    if reached.settings.catalog == "rest":  # a database's client does not send a commit again
        catalog.commit_table = twice
    assert house.run().status == "succeeded"
    is_right(house, 2)


def test_a_server_that_restarts_in_the_middle_is_waited_for(house: Lakehouse, reached: Reached) -> None:
    put(house.lake.landing / "second.json", record(1))
    catalog = house.catalog
    commit = catalog.commit_table
    with ExitStack() as away:

        def crash_first(*arguments: Any) -> Any:
            catalog.commit_table = commit
            away.enter_context(reached.restarting())
            return commit(*arguments)

        catalog.commit_table = crash_first
        report = house.run()
    assert catalog.commit_table is commit  # the server did crash
    assert report.status == "succeeded", report
    is_right(house, 2)


def test_a_run_that_begins_while_the_server_restarts_waits(house: Lakehouse, reached: Reached) -> None:
    put(house.lake.landing / "second.json", record(1))
    with reached.restarting():
        report = house.run()
    assert report.status == "succeeded", report
    is_right(house, 2)


def test_a_server_that_stays_away_fails_the_run_and_loses_nothing(
    house: Lakehouse, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (catalogs_rest, catalogs_sql):
        monkeypatch.setattr(module, "_READ_TRIES", 1)  # each table is asked for, and each would be waited for
    house.reopen()
    put(house.lake.landing / "second.json", record(1))
    assert house.catalog.list_namespaces()
    reached.server.crash()
    try:
        report = house.run()
    finally:
        reached.server.start()
    assert report.status == "failed"
    (step, *_) = report.steps
    assert "cannot be reached" in step.error and "catalog_uri" in step.error, step.error
    assert (house.lake.landing / "second.json").exists()
    assert house.run().status == "succeeded"
    is_right(house, 2)


def test_threads_may_open_a_new_catalog_on_a_server_at_once(servers: Servers, small_folder: Path) -> None:
    """The tables and the namespace are made by whoever is first by a moment; the others find them there."""
    lake = lakes.create(small_folder / "lake")

    def opening(settings: Settings) -> None:
        close_catalog(open_catalog(settings, lake))

    for attempt in range(5):
        settings = Settings(catalog="postgres", catalog_uri=servers.postgres.database(f"at_once_{attempt}"))
        assert at_once.threads(partial(opening, settings)) == []
