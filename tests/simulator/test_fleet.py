"""What the simulated fleet promises: the same bytes from the same arguments, exact shares, and believable lives."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from carlake.contracts.judge import Accepted, Refused, judge_text
from carlake.contracts.load import load
from carlake.errors import SettingsError
from carlake.simulator.faults import FAULTS, faults_for
from carlake.simulator.fleet import Fleet, Record, records
from carlake.simulator.shapes import Shape

ALL_SHAPES = Fleet(
    events=3000, cars=12, flat=0.3, snapshot=0.2, duplicates=0.06, corrections=0.05, stale=0.04, bad=0.03
)


def _good(fleet: Fleet) -> list[tuple[Record, dict[str, Any]]]:
    return [(record, json.loads(record.text)) for record in records(fleet) if not record.reason]


def _time(record: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(record[name])


def test_the_same_fleet_gives_the_same_records_and_another_seed_gives_others() -> None:
    first = list(records(ALL_SHAPES))
    assert first == list(records(ALL_SHAPES))
    other = list(records(replace(ALL_SHAPES, seed=8)))
    assert not {record.text for record in first if not record.reason} & {r.text for r in other if not r.reason}


def test_the_shares_are_exact() -> None:
    counts = Counter(record.kind for record in records(replace(ALL_SHAPES, flat=0, snapshot=0)))
    assert counts == {"event": 3000, "duplicate": 180, "correction": 150, "stale": 120, "bad": 90}
    assert len(list(records(ALL_SHAPES))) == ALL_SHAPES.records == 3540
    shapes = Counter(record.shape for record in records(ALL_SHAPES) if record.kind == "event")
    assert shapes["car_metrics"] == pytest.approx(900, rel=0.1)
    assert shapes["car_snapshot"] == pytest.approx(600, rel=0.1)
    assert list(records(Fleet(events=0))) == []


def test_every_good_record_is_json_as_a_json_library_would_write_it() -> None:
    for record, value in _good(ALL_SHAPES):
        assert record.text == json.dumps(value, ensure_ascii=False)


def test_every_good_record_is_accepted_by_its_own_contract_under_its_own_id() -> None:
    contracts = load()
    for record, _ in _good(ALL_SHAPES):
        judged = judge_text(str(record.text), contracts)
        assert isinstance(judged, Accepted)
        assert judged.contract == record.shape
        assert (judged.values["car_chassis"], judged.values["event_id"]) == (record.car, record.event_id)
        assert judged.values["event_timestamp"].timestamp() == record.at


def test_distinct_events_have_distinct_keys() -> None:
    crowded = Fleet(events=4000, cars=2, days=1, flat=0.5, snapshot=0.5)
    keys = [(record.car, record.event_id) for record in records(crowded) if record.kind == "event"]
    assert len(set(keys)) == 4000


def test_versions_of_an_event_differ_in_the_right_fields() -> None:
    seen: dict[str, Record] = {}
    later: list[Record] = []
    order: dict[str, int] = {}
    for index, record in enumerate(records(replace(ALL_SHAPES, flat=0, snapshot=0, late=0))):
        if record.kind == "event":
            seen[record.event_id] = record
            order[record.event_id] = index
        elif not record.reason:
            later.append(record)
            assert order[record.event_id] < index, "a version comes after the event when nothing is late"
    kinds = Counter(record.kind for record in later)
    assert kinds == {"duplicate": 180, "correction": 150, "stale": 120}
    for record in later:
        event, version = json.loads(seen[record.event_id].text), json.loads(record.text)
        if record.kind == "duplicate":
            assert record.text == seen[record.event_id].text
            continue
        newer = _time(version, "processing_timestamp") > _time(event, "processing_timestamp")
        older = _time(version, "processing_timestamp") < _time(event, "processing_timestamp")
        assert (newer, older) == (record.kind == "correction", record.kind == "stale")
        assert version["trip_data"] != event["trip_data"]
        for name in ("event_id", "event_primary_timestamp", "carChassis", "vehicle_static_info"):
            assert version[name] == event[name]


def test_late_events_come_out_of_time_order_and_others_do_not() -> None:
    def steps_back(late: float) -> int:
        times = [r.at for r in records(replace(ALL_SHAPES, late=late)) if r.kind == "event"]
        return sum(later < earlier for earlier, later in itertools.pairwise(times))

    assert steps_back(0) == 0
    assert steps_back(0.1) > 200


def test_lives_are_consistent() -> None:
    fleet = Fleet(events=6000, cars=20, days=400, late=0, corrections=0, stale=0)
    of_car: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record, value in _good(fleet):
        if record.kind == "event":
            of_car[record.car].append(value)
    assert len(of_car) == 20
    renewed = refilled = serviced = rented = 0
    for events in of_car.values():
        static = [event["vehicle_static_info"]["data"] for event in events]
        assert all(data == static[0] for data in static)
        capacity = static[0]["fuelCapacityLiters"]
        assert (capacity == 0) == (static[0]["gasType"] == "Electric")
        telemetry = [event["trip_data"]["vehicle_telemetry_snapshot"]["data"] for event in events]
        mileage = [data["currentMileage"] for data in telemetry]
        assert mileage == sorted(mileage)
        assert mileage[-1] > mileage[0] + 1000
        fuel = [data["fuelAvailableLiters"] for data in telemetry]
        assert all(0 <= litres <= capacity for litres in fuel)
        refilled += sum(after > before for before, after in itertools.pairwise(fuel))
        for name, block in (("validUntil", "insurance_info"), ("last_service_mileage", "maintenance_info")):
            values = [
                e["vehicle_dynamic_state"][block]["data"][name] for e in events if e["vehicle_dynamic_state"][block]
            ]
            assert values == sorted(values)
            renewed += name == "validUntil" and len(set(values)) > 1
            serviced += name != "validUntil" and len(set(values)) > 1
        rented += len({str(event["current_rental_agreement"]) for event in events}) > 2
        for before, event in itertools.pairwise(events):
            trip = event["trip_data"]["trip_summary"]
            if trip is None:
                continue
            assert _time(trip["data"], "tripStartTimestamp") >= _time(before, "event_primary_timestamp")
            assert trip["data"]["tripEndTimestamp"] == event["event_primary_timestamp"]
            assert 0 <= trip["data"]["tripMileage"] <= trip["data"]["tripTimeMinutes"] * trip["data"]["tripMaxSpeedKm"]
    assert (renewed, rented) == (20, 20)
    assert serviced > 5
    assert refilled > 100


def test_things_happen_to_a_fleet_that_the_gold_tables_are_about() -> None:
    seen: Counter[str] = Counter()
    for _, value in _good(Fleet()):
        telemetry = value["trip_data"]["vehicle_telemetry_snapshot"]["data"]
        trip = value["trip_data"]["trip_summary"]
        insurance = value["vehicle_dynamic_state"]["insurance_info"]
        seen["overheated engine"] += telemetry["engineTempCelsius"] > 100
        seen["overheated oil"] += (telemetry["oilTempCelsius"] or 0) > 110
        seen["speeding"] += trip is not None and trip["data"]["tripMaxSpeedKm"] > 110
        seen["raw binary fractions"] += trip is not None and len(str(trip["data"]["tripMileage"])) > 9
        seen["parked"] += trip is None
        seen["high mileage"] += telemetry["currentMileage"] > 100_000
        seen["low fuel"] += 0 < telemetry["fuelAvailableLiters"] < 10
        seen["electric"] += value["vehicle_static_info"]["data"]["fuelCapacityLiters"] == 0
        seen["no insurance block"] += insurance is None
        seen["no rental"] += value["current_rental_agreement"] is None
        seen["expired"] += (
            insurance is not None and insurance["data"]["validUntil"] < value["event_primary_timestamp"][:10]
        )
        seen[value["event_primary_timestamp"][:7]] += 1
    assert all(seen.values()), seen
    assert seen["raw binary fractions"] < 500, "few units send them"
    assert {"2025-08", "2025-09", "2025-10"} <= set(seen)


@pytest.mark.parametrize("shape", ["car_event", "car_metrics", "car_snapshot"])
@pytest.mark.parametrize("fault", faults_for("value"), ids=lambda fault: fault.name)
def test_a_spoilt_value_is_refused_for_the_reason_it_lists(fault: Any, shape: Shape) -> None:
    shares = {"car_event": (0.0, 0.0), "car_metrics": (1.0, 0.0), "car_snapshot": (0.0, 1.0)}[shape]
    fleet = Fleet(events=8, flat=shares[0], snapshot=shares[1], bad=1, duplicates=0, corrections=0, stale=0)
    contracts = load()
    spoilt = [record for record in records(fleet, [fault]) if record.kind == "bad"]
    assert len(spoilt) == 8
    for record in spoilt:
        judged = judge_text(str(record.text), contracts)
        assert isinstance(judged, Refused)
        assert judged.reason == record.reason == fault.reason, judged.detail


def test_faults_of_text_are_no_json_objects_of_utf8() -> None:
    of_text = [fault for fault in FAULTS if fault.fits == {"line"}]
    assert {fault.reason for fault in of_text} == {
        "not_json", "truncated_json", "not_an_object", "non_finite_number", "not_utf8", "nul_bytes"
    }  # fmt: skip
    good = next(records(Fleet(events=1)))
    for fault in of_text:
        spoilt = fault.spoil(str(good.text), good.shape)
        data = spoilt.encode() if isinstance(spoilt, str) else spoilt
        assert b"\n" not in data, "a line of its own"
        match fault.reason:
            case "not_utf8":
                with pytest.raises(UnicodeDecodeError):
                    data.decode()
            case "non_finite_number":
                assert "NaN" in str(spoilt) or "Infinity" in str(spoilt)
            case "not_an_object":
                assert not isinstance(json.loads(data), dict)
            case _:
                with pytest.raises(ValueError):
                    json.loads(data)


def test_bad_records_take_the_faults_in_turn() -> None:
    bad = Counter(record.reason for record in records(Fleet(events=len(FAULTS) * 100, bad=0.01)) if record.reason)
    assert bad == Counter(fault.reason for fault in FAULTS)


@pytest.mark.parametrize(
    "wrong", [{"events": -1}, {"cars": 0}, {"days": 0}, {"bad": 1.5}, {"late": -0.1}, {"flat": 0.6, "snapshot": 0.6}]
)
def test_a_fleet_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Fleet(**wrong)


def test_a_fleet_starts_on_its_day() -> None:
    fleet = Fleet(events=50, start=date(2024, 2, 28), days=2, flat=1)
    days = {value["telemetryTimestamp"][:10] for _, value in _good(fleet) if value["telemetryTimestamp"].endswith("Z")}
    assert days == {"2024-02-28", "2024-02-29"}
