"""The same behaviour on every combination of engine, catalog and store, against a model in plain Python."""

from __future__ import annotations

from pathlib import Path

from carlake.lakehouse import Lakehouse
from lakes import (
    ALERTS,
    BRONZE,
    QUARANTINE,
    SILVER,
    STATE,
    Landed,
    expected,
    flat,
    heads,
    held,
    nested,
    rows_of,
    step,
)
from matrix.cells import CellLake

RULES = "rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 85, CRITICAL: 130}\n"


def trip(car: str, number: int, version: int = 0, **more: object) -> str:
    """A trip of a car; `version` makes it a later one of the same event. Every third is of a hot engine."""
    at, processed = f"2025-09-{1 + number:02d}T08:00:00Z", f"2025-10-0{1 + version}T00:00:00Z"
    values = {"trip_distance_km": 10.5 + number, "trip_fuel_consumed_liters": 1.25, "current_mileage_km": 1000 + number}
    hot = 120 if (number + version) % 3 == 0 else 90
    return nested(car, f"e{number}", at, processed, engine_temp_celsius=hot, **values | more)


def is_right(house: Lakehouse, landed: list[Landed]) -> None:
    """Silver and gold are what the model makes of the records; nothing is behind, lost or doubled."""
    assert held(house) == expected(landed)
    verified = house.verify()
    assert (verified.problems, verified.behind) == ((), ())


BROKEN = ('{"carChassis": "B", ', '{"nonsense": 1}')


def test_the_tables_are_right_whatever_lands(lake: CellLake) -> None:
    with lake.open() as house:
        good = lake.land("a.json", trip("A", 0), trip("A", 1), trip("B", 2), flat("C", "2025-09-03T10:00:00Z"))
        landed = lake.land("broken.json", trip("B", 3), *BROKEN)
        good += [each for each in landed if each[0] not in BROKEN]
        report = house.run()
        assert report.status == "succeeded", report
        assert len(rows_of(house, QUARANTINE)) == 2

        # One is doubled, one corrected, one new.
        good += lake.land("b.json", trip("A", 0), trip("A", 1, 1, current_mileage_km=5), trip("B", 12))
        assert house.run().status == "succeeded"
        is_right(house, good)
        before = heads(house)
        assert house.run().idle
        assert heads(house) == before


def test_what_comes_again_or_late_changes_nothing(lake: CellLake) -> None:
    with lake.open() as house:
        landed = lake.land("a.json", trip("A", 0), trip("A", 1, 1), trip("B", 2))
        assert house.run().status == "succeeded"
        lake.land("again.json", *(record for record, _ in landed))  # known content under another name
        assert step(house.run(), BRONZE).rows_in == 0
        landed += lake.land("late.json", trip("A", 1, 0, current_mileage_km=9_999_999), trip("D", 4))  # an old version
        assert house.run().status == "succeeded"
        is_right(house, landed)
        assert house.verify(deep=True).problems == ()


def test_a_run_is_undone_and_comes_back(lake: CellLake) -> None:
    with lake.open() as house:
        landed = lake.land("a.json", trip("A", 0), trip("B", 1))
        house.run()
        before = held(house)
        more = lake.land("b.json", trip("A", 0, 1), trip("A", 3), trip("C", 2))
        run = house.run().run_id
        after = held(house)
        assert house.rollback(run).done
        assert held(house) == before
        assert house.run().status != "failed"
        assert held(house) == before, "nothing redoes what was undone"
        house.resume()
        assert house.run().status == "succeeded"
        assert held(house) == after
        is_right(house, landed + more)


def test_a_rule_is_adopted_by_a_rebuild(lake: CellLake, small_folder: Path) -> None:
    with lake.open() as house:
        landed = lake.land("a.json", *(trip("A", number) for number in range(4)))
        house.run()
        is_right(house, landed)
        warned = {row["event_id"] for row in rows_of(house, ALERTS)}
    rules = small_folder / "rules.yaml"
    rules.write_text(RULES)
    with lake.open(rules=[rules]) as house:
        more = lake.land("b.json", trip("B", 5))
        assert house.run().status == "partial", "another definition waits for a rebuild"
        assert house.rebuild().status == "succeeded"
        assert {row["event_id"] for row in rows_of(house, ALERTS)} > warned
        assert len(rows_of(house, SILVER)) == len(landed + more)
        assert house.verify(deep=True).problems == ()


def test_maintenance_changes_no_row(lake: CellLake) -> None:
    small = {"keep_snapshots": 5, "keep_metadata_files": 2, "reader_grace_minutes": 0, "orphan_age_hours": 0}
    landed: list[Landed] = []
    with lake.open(**small, maintenance="off", compact_files=2, releases_kept=0, releases_days=0) as house:
        for number in range(6):
            landed += lake.land(f"{number}.json", trip("A", number), trip("B", number + 10))
            assert house.run().status == "succeeded"
        rows = rows_of(house, STATE)
        report = house.maintain()
        assert report.ok and report.done, report
        assert rows_of(house, STATE) == rows
        is_right(house, landed)
        landed += lake.land("more.json", trip("A", 3, 2), trip("C", 8))
        assert house.run().status == "succeeded"
        is_right(house, landed)
        assert house.verify(deep=True).problems == ()
