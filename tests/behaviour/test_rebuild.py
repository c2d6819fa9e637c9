"""Contracts and rules as files: a change is adopted by a rebuild, for all of history, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from carlake.errors import CarlakeError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import (
    ALERTS,
    BRONZE,
    MONTHLY,
    OPS_RUNS,
    QUARANTINE,
    SILVER,
    STATE,
    bookmark,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
    truck,
)

TRUCK = truck(
    'event_timestamp: {path: when, required: true, format: "%d/%m/%Y %H:%M", zone: UTC}',
    "model: truck.kind",
    "current_mileage_km: odometer",
    "trip_distance_km: driven",
    "engine_temp_celsius: engine",
)
LOAD = """\
columns:
  - {name: load_kg, type: double, unit: kg, doc: load of the truck, path: load, minimum: 0}
"""
RULES = "rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 85, CRITICAL: 130}\n"
REFRESHED = (SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)
Open = Callable[..., Lakehouse]


def truck(vin: str, when: str, **more: object) -> str:
    return json.dumps({"truck": {"vin": vin, "kind": "T-9"}, "when": when, "odometer": 1000, **more})


@pytest.fixture
def opened(small_folder: Path) -> Open:
    """Opens the lake with contracts and rules given as text."""

    def open_with(*contracts: str, rules: str = "") -> Lakehouse:
        paths = []
        for number, text in enumerate(contracts):
            paths.append(small_folder / f"contract{number}.yaml")
            paths[-1].write_text(text)
        if rules:
            (small_folder / "rules.yaml").write_text(rules)
        settings = Settings(threads=1, contracts=paths, rules=[small_folder / "rules.yaml"] if rules else [])
        return lakehouse(small_folder / "lake", settings)

    return open_with


def test_an_unknown_shape_is_added_by_a_file_and_a_rebuild(opened: Open, small_folder: Path) -> None:
    inbox = small_folder / "in"
    put(inbox / "a.json", truck("T1", "30/09/2025 23:59", driven=12.5, engine=140, load=7), "not json")
    put(inbox / "b.json", nested("A", "e1", "2025-10-01T00:00:00Z"), truck("T1", "when it rained"))
    with opened() as house:
        assert house.run([str(inbox)]).quarantined == 3
        rows = {name: rows_of(house, name) for name in REFRESHED}

    with opened(TRUCK) as house:
        put(inbox / "c.json", truck("T2", "01/10/2025 08:00", driven=3))
        report = house.run([str(inbox)])
        # Until it is adopted, bronze goes on and every table keeps what it was built with.
        assert report.status == "partial" and report.records == 1
        assert step(report, BRONZE).status == "succeeded"
        for name in (SILVER, QUARANTINE):
            assert step(report, name).status == "left"
            assert name in step(report, name).error and "contract truck" in step(report, name).error
            assert "carlake rebuild" in step(report, name).error
        assert {name: rows_of(house, name) for name in REFRESHED} == rows
        unread = house.verify()
        assert {each.kind for each in unread.problems} == {"definition"}

        before = heads(house)
        rebuilt = house.rebuild()
        assert rebuilt.status == "succeeded" and rebuilt.trigger == "rebuild"
        found = {(row["car_chassis"], row["event_id"]): row for row in rows_of(house, SILVER)}
        assert set(found) == {("A", "e1"), ("T1", "T1_30/09/2025 23:59"), ("T2", "T2_01/10/2025 08:00")}
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] in (
            ["bad_timestamp", "not_json"],
            ["not_json", "bad_timestamp"],
        )
        assert {row["car_chassis"] for row in rows_of(house, STATE)} == {"A", "T1", "T2"}
        assert [(row["car_chassis"], row["year_month"]) for row in rows_of(house, MONTHLY)] == [
            ("T1", "2025-09"),
            ("T2", "2025-10"),
        ]
        assert [(row["car_chassis"], row["alert_type"]) for row in rows_of(house, ALERTS)] == [
            ("T1", "OVERHEAT_ENGINE")
        ]
        assert house.verify().ok
        for name in REFRESHED:
            head = iceberg(house, name).current_snapshot()
            assert head.parent_snapshot_id == before[name], f"{name}: one snapshot"
        after = heads(house)
        assert house.rebuild().idle and house.run([str(inbox)]).idle and heads(house) == after


def test_a_column_that_a_contract_adds_is_filled_from_history(opened: Open, small_folder: Path) -> None:
    path = put(small_folder / "a.json", truck("T1", "30/09/2025 23:59", load=7.5), truck("T2", "30/09/2025 23:59"))
    with opened(TRUCK) as house:
        house.run([str(path)])
        assert "load_kg" not in iceberg(house, SILVER).schema().column_names
        old = iceberg(house, SILVER).schema()
    with opened(TRUCK.replace("version: 1", "version: 2") + LOAD) as house:
        assert house.run().status == "partial"
        assert house.rebuild().status == "succeeded"
        schema = iceberg(house, SILVER).schema()
        assert [schema.find_field(each.field_id).name for each in old.fields] == [each.name for each in old.fields]
        assert str(schema.find_field("load_kg").field_type) == "double" and "[kg]" in schema.find_field("load_kg").doc
        loads = {row["car_chassis"]: (row["load_kg"], row["trip_distance_km"]) for row in rows_of(house, SILVER)}
        assert loads == {"T1": (7.5, None), "T2": (None, None)}
        put(small_folder / "b.json", truck("T2", "30/09/2025 23:58", load=1), truck("T3", "30/09/2025 23:58", load=-1))
        assert house.run([str(small_folder / "b.json")]).quarantined == 1
        assert [row["load_kg"] for row in rows_of(house, SILVER)] == [7.5, 1.0, None]
        assert house.query("SELECT sum(load_kg) AS kg FROM silver_car_telemetry").to_pylist() == [{"kg": 8.5}]
        assert house.verify().ok
        before = iceberg(house, SILVER).snapshots()[0]
        assert iceberg(house, SILVER).scan(snapshot_id=before.snapshot_id).to_arrow().num_rows == 2, "the past is kept"
    with opened(TRUCK) as house:
        report = house.run()
        assert report.status == "partial" and "columns" in step(report, SILVER).error


def test_a_threshold_that_is_edited_holds_for_all_history(opened: Open, small_folder: Path) -> None:
    events = [nested("A", f"e{at}", f"2025-0{at}-01T00:00:00Z", engine_temp_celsius=80 + 10 * at) for at in range(1, 7)]
    with opened() as house:
        house.run([str(put(small_folder / "a.json", *events))])
        others = {name: held(house)[name] for name in (SILVER, STATE, MONTHLY)}
        assert [row["event_id"] for row in rows_of(house, ALERTS)] == ["e3", "e4", "e5", "e6"]
    with opened(rules=RULES) as house:
        before = heads(house)
        refused = house.run()
        assert refused.status == "partial"
        assert [each.table for each in refused.steps if each.status == "left"] == [ALERTS]
        assert heads(house).items() >= {name: head for name, head in before.items() if name != OPS_RUNS}.items()
        rebuilt = house.rebuild()
        assert rebuilt.status == "succeeded"
        assert (step(rebuilt, ALERTS).rows_out, step(rebuilt, ALERTS).rows_removed) == (6, 4)
        alerts = [(row["event_id"], row["alert_severity"], row["threshold"]) for row in rows_of(house, ALERTS)]
        assert alerts == [(f"e{at}", *(("CRITICAL", 130.0) if at > 5 else ("WARNING", 85.0))) for at in range(1, 7)]
        assert {name: held(house)[name] for name in others} == others
        assert {name for name, head in heads(house).items() if head != before[name]} <= {ALERTS, OPS_RUNS}
        assert house.verify().ok
    with opened(rules="rules:\n  OVERHEAT_ENGINE: off\n") as house:
        house.rebuild()
        assert rows_of(house, ALERTS) == [] and house.verify().ok


def test_two_processes_with_different_settings_do_not_flip_rows(opened: Open, small_folder: Path) -> None:
    event = [nested("A", f"e{number}", "2025-10-01T00:00:00Z", engine_temp_celsius=95) for number in range(3)]
    with opened() as mine, opened(rules=RULES) as other:
        assert mine.run([str(put(small_folder / "0.json", event[0]))]).status == "succeeded"
        assert other.run([str(put(small_folder / "1.json", event[1]))]).status == "partial"
        assert len(rows_of(mine, SILVER)) == 2 and rows_of(mine, ALERTS) == []
        mark = bookmark(mine, ALERTS)
        assert mine.run().status == "succeeded", "whose definition it is goes on, with what the other has landed"
        assert bookmark(mine, ALERTS) != mark

        assert other.rebuild([ALERTS]).status == "succeeded"
        assert [row["event_id"] for row in rows_of(mine, ALERTS)] == ["e0", "e1"]
        left = mine.run([str(put(small_folder / "2.json", event[2]))])
        assert left.status == "partial" and "rule" in step(left, ALERTS).error
        assert [row["event_id"] for row in rows_of(mine, ALERTS)] == ["e0", "e1"]
        assert other.run().status == "succeeded"
        assert [row["event_id"] for row in rows_of(mine, ALERTS)] == ["e0", "e1", "e2"]


def test_a_rebuild_of_one_table_leaves_the_others(opened: Open, small_folder: Path) -> None:
    with opened() as house:
        house.run([str(put(small_folder / "a.json", truck("T1", "30/09/2025 23:59")))])
    with opened(TRUCK) as house:
        report = house.rebuild([SILVER])
        assert report.status == "partial" and step(report, QUARANTINE).status == "left"
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["T1"]
        with pytest.raises(CarlakeError, match=SILVER):
            house.rebuild(["silver_car_telemtry"])
        assert house.rebuild([QUARANTINE]).status == "succeeded" and house.verify().ok


def test_quarantine_first_and_records_in_between_reach_silver_all_the_same(opened: Open, small_folder: Path) -> None:
    with opened() as house:
        house.run([str(put(small_folder / "a.json", truck("T1", "30/09/2025 23:59"), "not json"))])
    with opened(TRUCK) as house:
        house.rebuild([QUARANTINE])
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] == ["not_json"]
        report = house.run([str(put(small_folder / "b.json", truck("T2", "30/09/2025 23:59"), "not json, too"))])
        assert step(report, SILVER).status == "left" and step(report, QUARANTINE).rows_out == 1
        assert rows_of(house, SILVER) == []
        house.rebuild([SILVER])
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["T1", "T2"]
        assert len(rows_of(house, QUARANTINE)) == 2 and house.verify().ok


def test_a_contract_that_is_taken_away_gives_its_rows_back_to_quarantine(opened: Open, small_folder: Path) -> None:
    with opened(TRUCK + LOAD) as house:
        put(small_folder / "a.json", truck("T1", "30/09/2025 23:59", load=1), nested("A", "e", "2025-10-01T00:00:00Z"))
        house.run([str(small_folder / "a.json")])
        assert len(rows_of(house, SILVER)) == 2
    with opened() as house:
        assert "contract truck" in step(house.run(), SILVER).error
        assert house.rebuild().status == "succeeded"
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["A"]
        assert [row["car_chassis"] for row in rows_of(house, STATE)] == ["A"]
        assert rows_of(house, MONTHLY) == []
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] == ["unknown_shape"]
        assert house.verify().ok
    with opened(TRUCK + LOAD.replace("double, unit: kg", "long")) as house:
        report = house.rebuild()
        assert report.status == "partial" and "A column's type cannot change" in step(report, SILVER).error
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["A"], "a column keeps its type"
    with opened(TRUCK + LOAD) as house:
        assert house.rebuild().status == "succeeded"
        assert [(row["car_chassis"], row["load_kg"]) for row in rows_of(house, SILVER)] == [("A", None), ("T1", 1.0)]
        assert house.verify().ok
