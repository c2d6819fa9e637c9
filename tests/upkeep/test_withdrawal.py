"""An object that is taken back: as if it had never landed, in every table."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.upkeep.damages import cut, manifests, now

from carlake.lakehouse import Lakehouse
from carlake.tables.declare import BRONZE, GOLD, SILVER
from lakes import lakehouse, nested, put

TABLES = (BRONZE, SILVER, *GOLD)


def _event(car: str, number: int, speed: float = 50.0) -> str:
    return nested(
        car,
        f"{car}-{number}",
        f"2025-10-0{number}T10:00:00Z",
        f"2025-10-0{number}T10:00:00Z",
        current_mileage_km=1000.0 + number,
        trip_distance_km=10.0,
        trip_fuel_consumed_liters=1.0,
        trip_max_speed_kmh=speed,
    )


def _rows(house: Lakehouse) -> dict[str, list[dict[str, object]]]:
    known = ("car_chassis", "event_id", "current_mileage_km", "total_km_driven", "alert_type", "raw")
    found = {}
    for table in TABLES:
        columns = ", ".join(name for name in known if name in house.declared[table].column_names)
        found[table] = house.query(f"SELECT {columns} FROM {table} ORDER BY ALL").to_pylist()
    return found


@pytest.fixture
def house(tmp_path: Path) -> Lakehouse:
    return lakehouse(tmp_path / "lake")


def test_every_table_is_as_it_was_before(house: Lakehouse, tmp_path: Path) -> None:
    put(tmp_path / "first.ndjson", _event("A", 1), _event("B", 1))
    house.run([str(tmp_path / "first.ndjson")])
    before = _rows(house)
    # A newer version of the same car's state, a car of its own, an alert, and a record that nobody can read.
    other = put(tmp_path / "second.ndjson", _event("A", 2, 200.0), _event("C", 1), "no record")
    house.run([str(other)])
    assert _rows(house) != before and house.quarantine().num_rows == 1
    (uri,) = {row["source_uri"] for row in house.query(f"SELECT source_uri FROM {BRONZE}").to_pylist()} - {
        (tmp_path / "first.ndjson").as_uri(),
        str(tmp_path / "first.ndjson"),
    }
    report = house.withdraw(uri)
    assert report.status == "succeeded"
    assert _rows(house) == before and house.quarantine().num_rows == 0
    assert house.verify(deep=True).ok
    # Again, nothing is left to do; and the same content lands anew.
    snapshots = house.table(BRONZE).snapshots
    assert house.withdraw(uri).status == "succeeded" and house.table(BRONZE).snapshots == snapshots
    house.run([str(other)])
    assert {
        row["car_chassis"] for row in house.query("SELECT car_chassis FROM gold_car_current_state").to_pylist()
    } == {
        "A",
        "B",
        "C",
    }


def test_no_recovery_takes_it_in_again(house: Lakehouse, tmp_path: Path) -> None:
    """Its rows lie in a file of an older snapshot, in a folder of the table, for as long as that is kept."""
    first, other = put(tmp_path / "first.json", _event("A", 1)), put(tmp_path / "second.json", _event("C", 1))
    house.run([str(first)])
    house.run([str(other)])
    assert house.withdraw(str(other)).status == "succeeded"
    before = _rows(house)
    assert len(before[BRONZE]) == 1
    root = house.lake.root
    house.close()
    # With a newest manifest that cannot be read, every data file in the folder counts.
    for manifest in manifests(root, BRONZE):
        cut(manifest)
    found = Lakehouse.recover(root, clock=now)
    assert found.ok and not found.lost, found
    with lakehouse(root) as house:
        assert _rows(house) == before


def test_an_empty_lake_and_an_unknown_object(house: Lakehouse) -> None:
    assert house.withdraw("s3://nowhere/none.json").status == "succeeded"
