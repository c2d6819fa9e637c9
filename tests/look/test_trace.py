from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from carlake.errors import NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.look.traced import Trace

from .conftest import FIRST, NOON, SECOND, Built, put


def newest_run(built: Built) -> str:
    return str(built.house.runs()["run_id"].to_pylist()[0])


def test_an_event_from_gold_back_to_its_files(built: Built) -> None:
    trace = built.house.trace("e1")
    assert (trace.kind, len(trace.events)) == ("event", 1)
    (found,) = trace.events
    assert found.silver is not None and found.silver.values["car_chassis"] == "CAR-A"
    told = [(r.outcome, Path(r.file.source_uri).name, r.source_row) for r in found.records]
    assert told == [
        ("current", "two.ndjson", 0),
        ("superseded", "one.json", 0),
        ("superseded", "two.ndjson", 1),
        ("superseded", "late.json", 0),
    ]
    why = [record.why for record in found.records]
    assert "older than 2025-11-03T10:05:00+00:00" in why[1] and "2025-11-03T09:00:00+00:00" in why[3]
    assert found.records[1].record_hash == found.records[2].record_hash
    # The landing folder's object is in the archive; those that were given by path stay where they are.
    first = found.records[1].file
    assert first.archived is not None and Path(first.archived).read_text() == FIRST
    assert first.source_id in first.archived
    assert found.records[0].file.archived is None
    # Which run wrote what.
    assert found.silver.written.run_id == found.records[0].file.written.run_id == newest_run(built)
    assert first.written.run_id != newest_run(built)
    snapshots = {s.snapshot_id for s in built.house.catalog.load_table("carlake.bronze_car_data").snapshots()}
    assert {record.file.written.snapshot_id for record in found.records} <= snapshots


def test_the_rows_of_gold_that_an_event_is_in(built: Built) -> None:
    gold = [
        (row.table, row.values.get("year_month"), row.values.get("alert_type")) for row in built.house.trace("e1").gold
    ]
    assert gold == [
        ("gold_car_current_state", None, None),
        ("gold_fuel_efficiency_monthly", "2025-11", None),
        ("gold_performance_alerts_log", None, "OVERHEAT_ENGINE"),
        ("gold_performance_alerts_log", None, "SPEEDING_ALERT"),
    ]
    assert all(row.written.run_id == newest_run(built) for row in built.house.trace("e2").gold)


def test_an_event_without_an_id_of_its_own(built: Built) -> None:
    (found,) = built.house.trace("CAR-B_2025-11-05T07:00:00Z").events
    assert [(r.outcome, r.file.source_uri.rsplit("/", 2)[1]) for r in found.records] == [
        ("current", "2"),
        ("superseded", "1"),
    ]


def test_a_record_that_says_the_same_as_the_current_one(small: Callable[..., Lakehouse]) -> None:
    with small("lake", FIRST, FIRST) as house:
        (found,) = house.trace("e1").events
        assert [(record.outcome, record.source_row) for record in found.records] == [("current", 0), ("duplicate", 1)]


def test_an_event_in_quarantine(built: Built) -> None:
    trace = built.house.trace("e3")
    assert trace.events == () and trace.gold == ()
    (record,) = trace.quarantined
    assert (record.outcome, record.source_row, record.contract) == ("quarantined", 3, "car_event")
    assert record.why.startswith("out_of_range: ") and record.file.source_uri.endswith("two.ndjson")


def test_a_car(built: Built) -> None:
    trace = built.house.trace("CAR-A")
    assert trace.kind == "car"
    assert dict(trace.counts) == {
        "events": 2,
        "files": 1,
        "records": 7,
        "quarantined": 2,
        "LOW_FUEL": 1,
        "OVERHEAT_ENGINE": 1,
        "SPEEDING_ALERT": 1,
    }
    assert [event.event_id for event in trace.events] == ["e2", "e1"]
    assert [row.table for row in trace.gold] == ["gold_car_current_state", *["gold_fuel_efficiency_monthly"] * 2]
    assert {record.event_id for record in trace.quarantined} == {"e3", "e4"}


def test_a_car_that_is_only_in_quarantine(built: Built) -> None:
    trace = built.house.trace("CAR-C")
    assert (trace.kind, trace.events, trace.counts["events"], trace.counts["quarantined"]) == ("car", (), 0, 1)


@pytest.mark.parametrize("by", ["uri", "name", "source_id", "digits"])
def test_a_file_forward_to_gold(built: Built, by: str) -> None:
    uri = str(built.fed / "2" / "two.ndjson")
    (source,) = {
        row["source_id"] for row in built.rows(f"SELECT source_id FROM bronze_car_data WHERE source_uri = '{uri}'")
    }
    trace = built.house.trace({"uri": uri, "name": "two.ndjson", "source_id": source, "digits": source[:12]}[by])
    assert trace.kind == "file"
    assert [(file.source_uri, file.records) for file in trace.files] == [(uri, 5)]
    assert [record.outcome for record in trace.records] == [
        "current",
        "superseded",
        "current",
        "quarantined",
        "quarantined",
    ]
    assert dict(trace.counts) == {"records": 5, "current": 2, "quarantined": 2, "cars": 1, "alerts": 3}
    assert [row.table for row in trace.gold] == ["gold_car_current_state", *["gold_performance_alerts_log"] * 3]


def test_a_file_by_its_place_in_the_archive(built: Built) -> None:
    (archived,) = (path for path in built.house.lake.archive.rglob("*") if path.is_file())
    trace = built.house.trace(str(archived))
    assert [file.archived for file in trace.files] == [str(archived)]
    assert [record.outcome for record in trace.records] == ["superseded"]


def test_files_of_one_name_are_all_followed(built: Built) -> None:
    trace = built.house.trace("flat.json")
    assert [file.source_uri for file in trace.files] == [
        str(built.fed / "1" / "flat.json"),
        str(built.fed / "2" / "flat.json"),
    ]
    assert [record.outcome for record in trace.records] == ["superseded", "current"]


def test_what_silver_has_not_read_yet_is_pending(small: Callable[..., Lakehouse]) -> None:
    with small() as house:
        put(house.lake.landing / "two.json", SECOND, NOON)
        # Silver's data folder is out of the way for one run: bronze lands, silver cannot follow.
        place = Path(
            house.catalog.load_table("carlake.silver_car_telemetry").location().removeprefix("file://"), "data"
        )
        place.rename(place.with_name("away"))
        place.write_bytes(b"")
        assert house.run().status == "partial"
        place.unlink()
        place.with_name("away").rename(place)
        (found,) = house.trace("e2").events
        assert found.silver is None
        assert [record.outcome for record in found.records] == ["pending"]
        assert house.run().status == "succeeded"
        (found,) = house.trace("e2").events
        assert [record.outcome for record in found.records] == ["current"]


def test_the_same_event_id_under_two_cars_is_two_events(small: Callable[..., Lakehouse]) -> None:
    with small("lake", FIRST, FIRST.replace("CAR-A", "CAR-Z")) as house:
        trace = house.trace("e1")
        assert [(event.car_chassis, len(event.records)) for event in trace.events] == [("CAR-A", 1), ("CAR-Z", 1)]
        assert [row.values["car_chassis"] for row in trace.gold] == ["CAR-A", "CAR-A", "CAR-Z", "CAR-Z"]


@pytest.mark.parametrize(("key", "hint"), [("CAR-", "CAR-A"), ("x'; --", "Give an event id"), ("", "Give an event id")])
def test_what_the_lake_does_not_know(built: Built, key: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match="is known as") as error:
        built.house.trace(key)
    assert hint in error.value.advice


def test_a_lake_without_tables(tmp_path: Path) -> None:
    with Lakehouse.create(tmp_path / "lake") as house, pytest.raises(NotFoundError):
        house.trace("e1")


@pytest.mark.parametrize("key", ["e1", "e3", "CAR-A", "two.ndjson"])
def test_told_as_json_and_in_lines(built: Built, key: str) -> None:
    trace: Trace = built.house.trace(key)
    document = json.loads(json.dumps(trace.to_dict(), allow_nan=False))
    assert (document["key"], document["kind"]) == (key, trace.kind)
    assert len(document["events"]) == len(trace.events)
    lines = trace.lines()
    assert lines[0].startswith(f"{trace.kind} {key}")
    assert any("two.ndjson" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_times_and_totals_in_json(built: Built) -> None:
    document = built.house.trace("e2").to_dict()
    assert document["events"][0]["silver"]["values"]["event_timestamp"] == "2025-12-04T08:00:00Z"
    monthly = document["gold"][1]["values"]
    assert (monthly["total_km_driven"], monthly["year_month"]) == (10.5, "2025-12")
