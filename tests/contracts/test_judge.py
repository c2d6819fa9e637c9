"""The reference judge: each shape's values, and every reason with the value that brings it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from carlake.contracts.judge import REASONS, Accepted, Refused, judge_text
from carlake.contracts.load import load
from carlake.contracts.times import NoTimeError, NoZoneError, TimeFormat, day, instant
from contracts.shapes import CONTRACT_OF, SHAPES, as_csv, changed, fresh, text

CONTRACTS = load()
TELEMETRY = "trip_data.vehicle_telemetry_snapshot.data"


def accepted(raw: str, **known: Any) -> Accepted:
    verdict = judge_text(raw, CONTRACTS, **known)
    assert isinstance(verdict, Accepted), verdict
    return verdict


def refused(raw: str) -> Refused:
    verdict = judge_text(raw, CONTRACTS)
    assert isinstance(verdict, Refused), verdict
    return verdict


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_valid_record_of_each_shape_is_accepted(shape: str, csv: bool) -> None:
    record = fresh(shape)
    verdict = accepted(text(as_csv(record) if csv else record))
    assert (verdict.contract, verdict.version) == (CONTRACT_OF[shape], 1)
    assert verdict.values["car_chassis"] == record["carChassis"]
    year = verdict.values["year"]
    assert type(year) is int and str(year) in text(record)


def test_the_nested_shape_fills_every_column_but_oil_pressure() -> None:
    values = accepted(text(fresh("nested"))).values
    landed = {column.name for column in CONTRACTS.parsed_columns[:-6]}
    assert landed - set(values) == {"oil_pressure_psi"}
    assert values["event_version"] == datetime(2025, 11, 4, 1, 1, 56, tzinfo=UTC)
    assert values["insurance_valid_until"] == date(2027, 7, 4)
    assert values["tire_pressure_rear_left_psi"] == 30.7
    assert values["rental_source"] == "rental_db"


def test_the_flat_shapes_take_their_own_time_everywhere() -> None:
    values = accepted(text(fresh("metrics"))).values
    time = datetime(2025, 11, 4, 1, tzinfo=UTC)
    assert values["event_timestamp"] == values["telemetry_timestamp"] == time
    assert values["event_primary_timestamp"] == "2025-11-04T01:00:00Z"
    assert values["event_id"] == "2CAR0000000000043_2025-11-04T01:00:00Z"
    values = accepted(text(fresh("snapshot"))).values
    time = datetime(2025, 10, 29, 11, tzinfo=UTC)
    assert values["event_timestamp"] == values["telemetry_timestamp"] == time
    assert values["event_primary_timestamp"] == "Wed, 29 Oct 2025 11:00:00"
    assert values["event_id"] == "3CAR0000000000044_Wed, 29 Oct 2025 11:00:00"
    assert values["trip_start_timestamp"] == datetime(2025, 10, 29, 10, 30, tzinfo=UTC)


def test_the_version_is_the_objects_modification_time_where_the_shape_has_none() -> None:
    modified = datetime(2025, 12, 1, tzinfo=UTC)
    assert accepted(text(fresh("metrics")), modified_at=modified).values["event_version"] == modified
    assert accepted(text(fresh("nested")), modified_at=modified).values["event_version"] != modified


@pytest.mark.parametrize(
    ("shape", "path", "value", "reason"),
    [
        ("nested", "event_id", ..., "missing_field"),
        ("nested", "event_id", None, "missing_field"),
        ("nested", "event_id", "", "missing_field"),
        ("nested", "carChassis", ..., "missing_field"),
        ("nested", "event_primary_timestamp", None, "missing_field"),
        ("metrics", "telemetryTimestamp", ..., "missing_field"),
        ("metrics", "carChassis", ..., "missing_field"),
        ("bare", "telemetryTimestamp", ..., "missing_field"),
        ("bare", "carChassis", ..., "missing_field"),
        ("snapshot", "carChassis", ..., "missing_field"),
        ("snapshot", "metrics.metricTimestamp", ..., "missing_field"),
        ("nested", "trip_data", "none", "bad_block"),
        ("nested", "trip_data.trip_summary", [], "bad_block"),
        ("nested", "vehicle_static_info.data", 5, "bad_block"),
        ("metrics", "metrics", False, "bad_block"),
        ("nested", f"{TELEMETRY}.currentMileage", "8470", "bad_type"),
        ("nested", f"{TELEMETRY}.currentMileage", True, "bad_type"),
        ("nested", f"{TELEMETRY}.currentMileage", {"km": 5}, "bad_type"),
        ("nested", "vehicle_static_info.data.Model", 500, "bad_type"),
        ("nested", "vehicle_static_info.data.Model", ["x"], "bad_type"),
        ("nested", "vehicle_static_info.data.Model", "\ud800", "bad_type"),
        ("nested", "vehicle_static_info.data.year", 2024.5, "bad_type"),
        ("nested", "event_primary_timestamp", "2025-11-04T01:00:00", "bad_type"),
        ("nested", "event_primary_timestamp", "2025-11-04", "bad_type"),
        ("nested", "event_primary_timestamp", 1762218000, "bad_type"),
        ("nested", "event_primary_timestamp", "2025-02-30T01:00:00Z", "bad_timestamp"),
        ("nested", "event_primary_timestamp", "2025-11-04T24:00:00Z", "bad_timestamp"),
        ("nested", "event_primary_timestamp", "2025-11-04T23:59:60Z", "bad_timestamp"),
        ("nested", "event_primary_timestamp", "0001-01-01T00:00:00+10:00", "bad_timestamp"),
        ("nested", "event_primary_timestamp", "9999-12-31T23:00:00-10:00", "bad_timestamp"),
        ("nested", "event_primary_timestamp", "yesterday", "bad_timestamp"),
        ("nested", "vehicle_dynamic_state.insurance_info.data.validUntil", "2025-13-01", "bad_timestamp"),
        ("snapshot", "metrics.metricTimestamp", "2025-11-04T01:00:00Z", "bad_timestamp"),
        ("snapshot", "metrics.metricTimestamp", "Wed, 31 Feb 2025 11:00:00", "bad_timestamp"),
        ("nested", f"{TELEMETRY}.currentMileage", 10**399, "number_too_large"),
        ("nested", f"{TELEMETRY}.currentMileage", 2**63, "number_too_large"),
        ("nested", f"{TELEMETRY}.engineTempCelsius", 250.1, "out_of_range"),
        ("nested", f"{TELEMETRY}.engineTempCelsius", -61, "out_of_range"),
        ("nested", f"{TELEMETRY}.batteryChargePerc", 101, "out_of_range"),
        ("nested", f"{TELEMETRY}.currentMileage", -1, "out_of_range"),
        ("nested", "vehicle_static_info.data.year", 1885, "out_of_range"),
    ],
)
def test_reasons(shape: str, path: str, value: Any, reason: str) -> None:
    verdict = refused(json.dumps(changed(shape, path, value)))
    assert (verdict.reason, verdict.contract, verdict.version) == (reason, CONTRACT_OF[shape], 1)
    assert verdict.detail.startswith(f"{path}: ")
    assert len(verdict.detail) < 250 and verdict.detail.encode()
    assert reason in REASONS


@pytest.mark.parametrize(
    "raw", ["{}", "[1]", '"x"', "5", "null", '{"vin":"x","ts":1}', '{"carChassis":"x"}', '{"metrics":5}']
)
def test_what_no_contract_knows_is_an_unknown_shape(raw: str) -> None:
    verdict = refused(raw)
    assert (verdict.reason, verdict.contract, verdict.version) == ("unknown_shape", None, None)


@pytest.mark.parametrize("raw", ["", "{", '{"a":NaN}', '{"a":Infinity}', '{"a":1,}', '{"a":"\n"}', '{"a":01}'])
def test_what_is_not_strict_json_is_said_to_be_so(raw: str) -> None:
    assert refused(raw).reason == "not_json"


def test_numbers_past_a_double_are_too_large() -> None:
    raw = text(fresh("nested")).replace('"currentMileage":8470', '"currentMileage":1e999')
    assert refused(raw).reason == "number_too_large"


@pytest.mark.parametrize(
    ("shape", "path", "value"),
    [
        ("nested", "trip_data", None),
        ("nested", "current_rental_agreement", ...),
        ("nested", "vehicle_static_info.data.year", 2024.0),
        ("nested", "vehicle_static_info.data.Model", ""),
        ("nested", "vehicle_static_info.data.Model", "nul \0 in text"),
        ("nested", "unheard_of", {"a": [1, {"b": None}]}),
        ("nested", "event_primary_timestamp", "2025-11-04 01:00:00.123456789+05:30"),
        ("nested", "vehicle_dynamic_state.insurance_info.data.validUntil", "2027-07-04T23:30:00-02:00"),
        ("metrics", "metrics", None),
        ("metrics", "metrics.currentMileageKm", None),
    ],
)
def test_what_is_unusual_and_right_is_accepted(shape: str, path: str, value: Any) -> None:
    accepted(json.dumps(changed(shape, path, value)))


def test_of_a_key_given_twice_the_first_counts() -> None:
    raw = text(fresh("metrics")).replace('"year":2023', '"year":2023,"year":"none"')
    assert accepted(raw).values["year"] == 2023


def test_deep_nesting_in_an_unknown_field_is_no_hindrance() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    raw = text(fresh("metrics"))[:-1] + ',"deep":' + deep + ',"text":"]]}"}'
    assert accepted(raw).values["oil_pressure_psi"] == 45.0


def test_csv_values_are_cast_and_the_empty_text_is_null() -> None:
    record = as_csv(fresh("bare"))
    record["fuelAvailableLiters"] = " 40.1 "
    record["engineTempCelsius"] = ""
    record["year"] = " "
    record["model"] = ""
    values = accepted(text(record)).values
    assert values["fuel_available_liters"] == 40.1
    assert {"engine_temp_celsius", "year", "model"}.isdisjoint(values)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("1_000", "bad_type"), ("+5", "bad_type"), ("0x10", "bad_type"), ("nan", "bad_type"), ("1,5", "bad_type"), ("9" * 400, "number_too_large"), ("1e999", "number_too_large"), ("-5", "out_of_range")],
)  # fmt: skip
def test_csv_numbers_are_json_numbers(value: str, reason: str) -> None:
    assert refused(text({**as_csv(fresh("bare")), "currentMileageKm": value})).reason == reason


def test_the_required_fields_of_a_csv_row_may_not_be_empty() -> None:
    assert refused(text({**as_csv(fresh("bare")), "carChassis": ""})).reason == "missing_field"


def test_times_are_utc_to_the_microsecond() -> None:
    assert instant("2025-11-04T01:00:00.1234567Z") == datetime(2025, 11, 4, 1, 0, 0, 123456, tzinfo=UTC)
    assert instant("2025-11-04 01:00:00+05:30") == datetime(2025, 11, 3, 19, 30, tzinfo=UTC)
    assert instant("2025-11-04T01:00-0800") == datetime(2025, 11, 4, 9, tzinfo=UTC)
    assert day("2025-11-04T01:00:00+02:00") == date(2025, 11, 3)
    assert instant("2025-07-01T12:00:00", zone="Europe/Rome") == datetime(2025, 7, 1, 10, tzinfo=UTC)
    for text_ in (
        "2025-11-04T01:00:00+24:00",
        "2025-11-04T01:00:00+05:60",
        "2025-11-04T1:00:00Z",
        "２025-11-04T01:00:00Z",
    ):
        with pytest.raises(NoTimeError):
            instant(text_)
    with pytest.raises(NoZoneError):
        instant("2025-11-04T01:00:00")


def test_local_times_at_a_change_of_the_clocks() -> None:
    assert instant("2025-10-26T02:30:00", zone="Europe/Rome") == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    with pytest.raises(NoTimeError):
        instant("2025-03-30T02:30:00", zone="Europe/Rome")


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("%d/%m/%Y %I:%M:%S %p", "04/11/2025 12:05:06 am", datetime(2025, 11, 4, 0, 5, 6, tzinfo=UTC)),
        ("%d %B %y at %H.%M", "4 November 25 at 7.05", datetime(2025, 11, 4, 7, 5, tzinfo=UTC)),
        ("%Y%m%dT%H%M%S.%f%z", "20251104T010203.5+0200", datetime(2025, 11, 3, 23, 2, 3, 500000, tzinfo=UTC)),
        ("%A %d.%m.%Y 100%%", "Tuesday 4.11.2025 100%", datetime(2025, 11, 4, tzinfo=UTC)),
    ],
)
def test_formats(form: str, value: str, expected: datetime) -> None:
    assert instant(value, TimeFormat(form), "UTC") == expected
