"""An object that is taken back: as if it had never landed, in every table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.upkeep.damages import cut, data_files, look, manifests, now

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.tables.declare import BRONZE, GOLD, SILVER
from carlake.upkeep.checks.landing import outside
from carlake.upkeep.recovery.plan import plan
from lakes import iceberg, lakehouse, nested, put, rows_of

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


def _withdrawn(house: Lakehouse, tmp_path: Path) -> Path:
    """Two objects land by landing, and the second is taken back; gives its copy in the archive."""
    put(house.lake.landing / "first.json", _event("A", 1))
    house.run()
    put(house.lake.landing / "second.json", _event("C", 1))
    house.run()
    (copy,) = house.lake.archive.glob("*/*/second.json")
    (uri,) = {str(row["source_uri"]) for row in rows_of(house, BRONZE) if "second" in str(row["source_uri"])}
    assert house.withdraw(uri).status == "succeeded"
    return copy


def _kinds(house: Lakehouse) -> list[str]:
    snapshots = iceberg(house, BRONZE).metadata.snapshots
    return [str(s.summary.additional_properties.get("carlake.kind")) if s.summary else "" for s in snapshots]


def test_it_stays_away_once_its_withdrawal_has_expired(house: Lakehouse, tmp_path: Path) -> None:
    """A release keeps an older snapshot, and with it the file."""
    root = house.lake.root
    house.close()
    settings = Settings(threads=1, keep_snapshots=5, compact_files=2)
    with Lakehouse.open(root, settings, clock=now) as house:
        _withdrawn(house, tmp_path).unlink()
        for number in range(1, 9):
            put(house.lake.landing / f"{number}.json", _event("B", number))
            house.run()
        house.maintain()
        assert "withdrawal" not in _kinds(house)
        before = _rows(house)
    assert any("second" in str(pq.read_table(path, columns=["source_uri"])) for path in outside(look(root)))
    assert [step.action for step in plan(look(root)).steps] == ["run", "verify"]
    assert Lakehouse.recover(root, settings, clock=now).ok
    with lakehouse(root) as house:
        assert _rows(house) == before


def test_it_stays_away_once_a_recovery_has_expired_its_withdrawal(house: Lakehouse, tmp_path: Path) -> None:
    _withdrawn(house, tmp_path).unlink()
    put(house.lake.landing / "third.json", _event("B", 1))
    house.run()
    before, root = _rows(house), house.lake.root
    lost = iceberg(house, BRONZE).metadata.snapshots[_kinds(house).index("withdrawal")].manifest_list
    house.close()
    Path(lost.removeprefix("file://")).unlink()
    for _ in range(2):
        found = Lakehouse.recover(root, clock=now)
        assert found.ok and not found.lost, found
    with lakehouse(root) as house:
        assert "withdrawal" not in _kinds(house) and _rows(house) == before


def test_its_copy_in_the_archive_stays_out_of_the_tables(house: Lakehouse, tmp_path: Path) -> None:
    copy = _withdrawn(house, tmp_path)
    before, root = _rows(house), house.lake.root
    assert house.verify(deep=True).ok
    report = house.rebuild(everything=True, from_archive=True)
    assert report.status == "succeeded" and "1 object was taken back" in " ".join(report.notes)
    assert _rows(house) == before and house.verify(deep=True).ok
    house.close()
    assert Lakehouse.recover(root, clock=now).ok
    with lakehouse(root) as house:
        assert _rows(house) == before
        # Landed anew it is an object like the others.
        house.run([str(copy)])
        assert len(_rows(house)[BRONZE]) == 2
    for path in data_files(root, BRONZE):
        path.unlink()
    assert Lakehouse.recover(root, clock=now).ok
    with lakehouse(root) as house:
        assert len(_rows(house)[BRONZE]) == 2
