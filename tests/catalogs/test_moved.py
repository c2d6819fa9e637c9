"""A catalog that lost its tables, and a lake that goes from one catalog to another: the tables are entered from their metadata."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, MODIFIED, MONTHLY, QUARANTINE, SILVER, expected, heads, held, lakehouse, nested, put
from servers.shared import Servers

STAY = (BRONZE, SILVER, QUARANTINE, MONTHLY)
"""What a recovery's own run has nothing to add to; a car's state goes with the day."""
RECORDS = [nested("A", f"e{n}", "2025-10-01T00:00:00Z", f"2025-10-0{n + 2}T00:00:00Z") for n in range(3)]


@pytest.fixture(params=["postgres", "rest"])
def settings(request: pytest.FixtureRequest, servers: Servers) -> Settings:
    own = f"moved_{uuid.uuid4().hex[:12]}"
    plain: dict[str, Any] = {"threads": 1, "maintenance": "off", "namespace": own}
    uri = servers.postgres.database(own) if request.param == "postgres" else servers.rest.uri
    return Settings(catalog=request.param, catalog_uri=uri, **plain)


def goes_on(root: Path, settings: Settings, before: dict[str, int]) -> None:
    """After a recovery the tables are where they were, and the next run adds to them."""
    assert {finding.check for finding in Lakehouse.doctor(root, settings).findings} == {"table-missing"}
    Lakehouse.recover(root, settings)
    assert Lakehouse.doctor(root, settings, deep=True).findings == ()
    with lakehouse(root, settings) as house:
        now = heads(house)
        assert {name: now[name] for name in STAY} == {name: before[name] for name in STAY}
        put(house.lake.landing / "more.json", RECORDS[2])
        assert house.run().status == "succeeded"
        assert held(house) == expected([(record, MODIFIED) for record in RECORDS])
        verified = house.verify(deep=True)
        assert (verified.problems, verified.behind, verified.files) == ((), (), 3)


def begun(root: Path, settings: Settings) -> dict[str, int]:
    """Make the lake with two records; gives the tables' heads."""
    with lakehouse(root, settings) as house:
        for number in range(2):
            put(house.lake.landing / f"{number}.json", RECORDS[number])
            assert house.run().status == "succeeded"
    with lakehouse(root, settings) as house:
        return heads(house)


def test_a_catalog_that_lost_its_tables(settings: Settings, small_folder: Path) -> None:
    before = begun(small_folder / "lake", settings)
    with lakehouse(small_folder / "lake", settings) as house:
        for name in before:
            house.catalog.drop_table(f"{settings.namespace}.{name}")
    goes_on(small_folder / "lake", settings, before)


def test_a_lake_goes_from_its_own_file_to_a_server(settings: Settings, small_folder: Path) -> None:
    own = Settings(threads=1, maintenance="off", namespace=settings.namespace)
    before = begun(small_folder / "lake", own)
    goes_on(small_folder / "lake", settings, before)


def test_a_server_that_is_away_is_no_lost_catalog(settings: Settings, small_folder: Path) -> None:
    """Nothing is recovered into another catalog because the right one does not answer for a while."""
    begun(small_folder / "lake", settings)
    away = settings.model_dump() | {
        "catalog_uri": "postgresql://carlake@127.0.0.1:1/x" if settings.catalog == "postgres" else "http://127.0.0.1:1"
    }
    findings = Lakehouse.doctor(small_folder / "lake", Settings(**away)).findings
    assert "catalog-unreachable" in {finding.check for finding in findings}
    assert any("cannot be reached" in finding.what for finding in findings)
