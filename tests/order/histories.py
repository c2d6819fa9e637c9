"""Generated histories of a few cars, and arrangements of them: which object holds which records, landed by which run."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from lakes import MODIFIED, Landed, flat, nested, oldest

RUNS = 3
_SLOTS = 4
_HOURS = 3

# Few cars, ids and times, so that versions meet; months on both sides of an event; values around every threshold.
_NESTED_TIMES = [
    "2025-09-30T23:59:59Z",
    "2025-10-01T01:30:00+02:00",
    "2025-10-01T00:00:00Z",
    "2025-12-31T23:00:00-05:00",
]
_VERSIONS = ["2025-10-02T00:00:00Z", "2025-10-02T00:00:00Z", "2025-10-03T00:00:00Z", None]
_NESTED: dict[str, list[Any]] = {
    "manufacturer": ["Kestrel"],
    "insurance_provider": ["Northlight"],
    "insurance_valid_until": ["2025-10-31", "2025-11-01", "2026-01-31"],
    "trip_distance_km": [0, 100.0005],
    "trip_fuel_consumed_liters": [0, 7.5],
    "trip_max_speed_kmh": [110, 111],
    "current_mileage_km": [100000, 100001],
    "fuel_available_liters": [4.99, 9.95, 40],
    "fuel_capacity_liters": [0],
    "engine_temp_celsius": [100, 101],
}
_FLAT: dict[str, list[Any]] = {
    "model": ["Merlin"],
    "current_mileage_km": [99999, 100001],
    "fuel_available_liters": [3, 20.5],
    "engine_temp_celsius": [101],
}
_OLDEST: dict[str, list[Any]] = {
    "manufacturer": ["Pampa"],
    "trip_distance_km": [5.5],
    "current_mileage_km": [7],
    "insurance_valid_until": ["2025-10-30", "2026-05-05"],
}


@dataclass(frozen=True)
class Object:
    """One landed object: what it holds, when it was written, and the run that finds it."""

    content: bytes
    records: tuple[str, ...]
    modified: datetime
    run: int
    suffix: str


@st.composite
def history(draw: st.DrawFn, owner: str) -> list[Landed]:
    """Distinct records of two cars, each with its object's modification time: all shapes, versions, and bad ones."""
    cars = [f"{owner}-A", f"{owner}-B"]
    landed: dict[str, datetime] = {}
    for _ in range(draw(st.integers(2, 8))):
        text = draw(st.one_of(_a_nested(cars), _a_nested(cars), _a_flat(cars), _an_oldest(cars), _a_bad(cars)))
        landed.setdefault(text, MODIFIED + timedelta(hours=draw(st.integers(0, _HOURS - 1))))
    return list(landed.items())


def _columns(values: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {column: st.sampled_from([*choice, None]) for column, choice in values.items()}
    return st.fixed_dictionaries({}, optional=optional)


def _a_nested(cars: Sequence[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda car, event, at, version, columns: nested(car, event, at, version, **columns),
        st.sampled_from(cars),
        st.sampled_from(["e1", "é2"]),
        st.sampled_from(_NESTED_TIMES),
        st.sampled_from(_VERSIONS),
        _columns(_NESTED),
    )


def _a_flat(cars: Sequence[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["2025-10-01T00:00:00Z", "2025-10-31T23:59:59.999999Z"])
    return st.builds(lambda car, at, columns: flat(car, at, **columns), st.sampled_from(cars), times, _columns(_FLAT))


def _an_oldest(cars: Sequence[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["Tue, 30 Sep 2025 23:59:59", "Wed, 29 Oct 2025 11:00:00"])
    return st.builds(
        lambda car, at, columns: oldest(car, at, **columns), st.sampled_from(cars), times, _columns(_OLDEST)
    )


def _a_bad(cars: Sequence[str]) -> st.SearchStrategy[str]:
    """A JSON object that no contract accepts."""
    spoilt = st.sampled_from(
        [
            {"event_id": None},
            {"event_primary_timestamp": "2025-13-01T00:00:00Z"},
            {"event_primary_timestamp": "2025-10-01T00:00:00"},
            {"carChassis": 17},
            {"vehicle_static_info": []},
        ]
    )
    good = st.sampled_from([json.loads(nested(car, "e1", "2025-10-01T00:00:00Z")) for car in cars])
    # The owner keeps the bad records of one history apart from those of another.
    return st.builds(lambda record, fault: json.dumps({**record, **fault, "owner": cars[0]}), good, spoilt)


@st.composite
def arrangement(draw: st.DrawFn, histories: Sequence[list[Landed]]) -> list[Object]:
    """Some arrangement of all records: any order, any object, any run, up to three times; objects again as they are."""
    copies = [landed for each in histories for landed in each for _ in range(draw(st.integers(1, 3)))]
    slots: dict[tuple[int, datetime], list[str]] = {}
    for text, modified in draw(st.permutations(copies)):
        slots.setdefault((draw(st.integers(0, _SLOTS - 1)), modified), []).append(text)
    objects = []
    for (_, modified), texts in slots.items():
        content, suffix = draw(st.sampled_from(_CONTAINERS))(texts)
        for run in draw(st.lists(st.integers(0, RUNS - 1), min_size=1, max_size=2)):
            objects.append(Object(content, tuple(texts), modified, run, suffix))
    return objects


def _lines(texts: Sequence[str]) -> tuple[bytes, str]:
    return "\n".join(texts).encode(), ".ndjson"


def _array(texts: Sequence[str]) -> tuple[bytes, str]:
    return f"[{', '.join(texts)}]\n".encode(), ".json"


def _concatenated(texts: Sequence[str]) -> tuple[bytes, str]:
    return "".join(texts).encode(), ".json"


def _packed(texts: Sequence[str]) -> tuple[bytes, str]:
    return gzip.compress("\n".join(texts).encode(), 1, mtime=0), ".ndjson.gz"


_CONTAINERS = [_lines, _array, _concatenated, _packed]
