"""A small lake with every outcome a record can have: two runs, two cars, corrections, repeats and broken records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings

NOON = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)


def event(
    event_id: str,
    car: str = "CAR-A",
    at: str = "2025-11-03T10:00:00Z",
    version: str = "2025-11-03T10:01:00Z",
    **measured: Any,
) -> str:
    """One nested event as a line of JSON. `measured` sets fields of the telemetry and trip blocks."""
    trip = {key: measured.pop(key) for key in list(measured) if key.startswith("trip")}
    telemetry = {"currentMileage": 1000.0, "fuelAvailableLiters": 40.0, **measured}
    return json.dumps(
        {
            "event_id": event_id,
            "event_primary_timestamp": at,
            "processing_timestamp": version,
            "carChassis": car,
            "vehicle_static_info": {"data": {"Model": "Polo", "Manufacturer": "VW", "year": 2020}},
            "vehicle_dynamic_state": {"insurance_info": {"data": {"provider": "Sure", "validUntil": "2026-12-31"}}},
            "trip_data": {
                "trip_summary": {"data": {"tripMileage": 10.5, "tripFuelLiters": 0.7, **trip}},
                "vehicle_telemetry_snapshot": {"data": telemetry, "extraction_timestamp": at},
            },
        }
    )


def flat(car: str, at: str, mileage: float) -> str:
    """One flat record; it has no event id of its own."""
    metrics = {"currentMileageKm": mileage, "fuelAvailableLiters": 30.0, "engineTempCelsius": 90.0}
    return json.dumps({"carChassis": car, "telemetryTimestamp": at, "metrics": metrics})


FIRST = event("e1")
NEWER = event("e1", version="2025-11-03T10:05:00Z", tripMaxSpeedKm=140.0, engineTempCelsius=130.0)
OLDER = event("e1", version="2025-11-03T09:00:00Z")
SECOND = event(
    "e2", at="2025-12-04T08:00:00Z", version="2025-12-04T08:01:00Z", fuelAvailableLiters=4.0, currentMileage=1100.0
)
TOO_HOT = event("e3", oilTempCelsius=900.0)
TRUNCATED = event("e4")[:200]


@dataclass
class Built:
    """A lake that is open, and the two folders it was fed from. `between` lies after the first run, before the second."""

    house: Lakehouse
    fed: Path
    between: datetime

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return list(self.house.query(sql).to_pylist())


def put(path: Path, content: str | bytes, at: datetime) -> Path:
    """Write a file and give it a modification time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Read it, do not change it: the tests of a session share it."""
    root = tmp_path_factory.mktemp("look")
    fed = root / "fed"
    clock = [NOON]
    with Lakehouse.create(root / "lake", Settings(), lambda: clock[0]) as house:
        put(house.lake.landing / "one.json", FIRST, NOON)
        put(fed / "1" / "flat.json", flat("CAR-B", "2025-11-05T07:00:00Z", 500.0), NOON)
        house.run()
        house.run([str(fed / "1")])
        between = datetime.now(UTC)
        clock[0] = NOON.replace(day=11)
        put(fed / "2" / "two.ndjson", "\n".join([NEWER, FIRST, SECOND, TOO_HOT, TRUNCATED]), NOON)
        put(fed / "2" / "late.json", OLDER, NOON)
        put(fed / "2" / "flat.json", flat("CAR-B", "2025-11-05T07:00:00Z", 501.0), NOON.replace(hour=13))
        put(fed / "2" / "bytes.ndjson", b'{"event_id": "e5", "carChassis": "CAR-\xff"}\n', NOON)
        put(
            fed / "2" / "cells.csv",
            "carChassis,telemetryTimestamp,fuelAvailableLiters\nCAR-C,2025-11-05T07:00:00Z,-1\nCAR-C,x,1,2\n",
            NOON,
        )
        report = house.run([str(fed / "2")])
        assert report.status == "succeeded", report
        yield Built(house, fed, between)


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Lakehouse]:
    """Makes lakes of a test's own, of one event each."""

    def make(place: str = "lake", *records: str) -> Lakehouse:
        house = Lakehouse.create(tmp_path / place, Settings(), lambda: NOON)
        put(house.lake.landing / "one.ndjson", "\n".join(records or (FIRST,)), NOON)
        assert house.run().status == "succeeded"
        return house

    return make
