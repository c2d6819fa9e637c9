"""Another time zone, another locale: the same rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crashes.processes import run
from environment.hostile import in_zone
from lakes import MODIFIED, Landed, expected, flat, held, lakehouse, nested, oldest, put

# Around the hours that are there twice, or not at all, and around the ends of days, months and years.
_RECORDS = [
    nested("A", "e1", "2025-11-02T01:30:00-04:00", "2025-11-02T01:30:00-05:00", trip_distance_km=1.5),
    nested("A", "e2", "2025-11-02T01:30:00-05:00", "2025-11-02T01:30:00-04:00", engine_temp_celsius=101),
    nested("A", "e3", "2025-03-09T02:30:00Z", insurance_valid_until="2025-10-31", trip_distance_km=2),
    nested("B", "e4", "2025-10-26T00:30:00Z", insurance_valid_until="2025-11-01", trip_fuel_consumed_liters=1.25),
    nested("B", "e5", "2025-10-26T01:30:00Z", insurance_valid_until="2025-11-02"),
    flat("IĞDIR", "2025-12-31T23:59:59.999999Z", fuel_available_liters=3.5),
    flat("ığdır", "2025-09-30T23:00:00Z", engine_temp_celsius=120.25),
    oldest("C", "Sun, 30 Mar 2025 02:30:00", insurance_valid_until="2026-01-31"),
]
LANDED: list[Landed] = [(text, MODIFIED) for text in _RECORDS]


def running(lake: str, path: str, zone: str, tongue: str) -> None:
    in_zone(Path(lake), zone, tongue)
    with lakehouse(Path(lake)) as house:
        assert house.run([path]).status == "succeeded"
        verified = house.verify()
        assert (verified.problems, verified.behind) == ((), ())
        said = house.query("SELECT count(*) AS n FROM silver_car_telemetry WHERE event_day = 26").to_pylist()
        assert said == [{"n": 2}], said
        days = house.query("SELECT DISTINCT CAST(event_timestamp AS DATE) AS day FROM silver_car_telemetry").to_pylist()
        assert len(days) == 6, days


@pytest.mark.parametrize(
    ("zone", "tongue"),
    [
        ("America/New_York", "C"),
        ("Europe/Berlin", "de_DE.UTF-8"),
        ("Pacific/Apia", "tr_TR.UTF-8"),
    ],
)
def test_rows_do_not_depend_on_the_process(small_folder: Path, zone: str, tongue: str) -> None:
    path = put(small_folder / "in.json", *_RECORDS)
    assert run(running, str(small_folder / "lake"), str(path), zone, tongue) == 0
    with lakehouse(small_folder / "lake") as house:
        assert held(house) == expected(LANDED)


def test_the_records_tell_zones_apart() -> None:
    times = [json.loads(text) for text in _RECORDS[:2]]
    assert times[0]["event_primary_timestamp"] != times[1]["event_primary_timestamp"]
