"""A lake of four runs and what its tables held after each, made once for a module and put back for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from lakes import ALERTS, MODIFIED, MONTHLY, QUARANTINE, SILVER, STATE, clear, heads, lakehouse, nested, put, rows_of

DERIVED = (SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)
State = dict[str, list[dict[str, Any]]]

# Each run adds, corrects and breaks something, so that each changes every table.
RUNS: tuple[tuple[str, ...], ...] = (
    (
        nested("A", "e1", "2025-10-01T00:00:00Z", "2025-10-01T00:00:01Z", engine_temp_celsius=120, trip_distance_km=4),
        nested("B", "e1", "2025-10-01T01:00:00Z", trip_distance_km=7, current_mileage_km=10),
        "broken 1",
    ),
    (
        nested("A", "e1", "2025-10-01T00:00:00Z", "2025-10-01T00:00:02Z", engine_temp_celsius=90, trip_distance_km=5),
        nested("C", "e1", "2025-09-01T01:00:00Z", trip_distance_km=1, engine_temp_celsius=130),
        "broken 2",
    ),
    (nested("C", "e2", "2025-09-02T01:00:00Z", trip_distance_km=2, engine_temp_celsius=131), "broken 3", "broken 4"),
    (
        nested("A", "e1", "2025-10-01T00:00:00Z", "2025-10-01T00:00:03Z", engine_temp_celsius=125, trip_distance_km=9),
        nested("B", "e2", "2025-10-03T01:00:00Z", trip_distance_km=3, current_mileage_km=20),
        "broken 5",
    ),
)
MORE = (nested("D", "e1", "2025-10-04T00:00:00Z", engine_temp_celsius=140, trip_distance_km=8), "broken 6")


@dataclass
class Ran:
    """A lake after four runs: their ids, and what silver, quarantine and gold held before the first and after each."""

    house: Lakehouse
    runs: list[str]
    states: list[State]

    @property
    def now(self) -> State:
        return state(self.house)

    def again(self) -> Lakehouse:
        """Another open lake at the same place, as another process has it."""
        return lakehouse(self.house.lake.root)


def state(house: Lakehouse) -> State:
    """The rows of every table that is made from others."""
    return {name: rows_of(house, name) for name in DERIVED}


def accepted() -> list[tuple[str, datetime]]:
    """All records of `RUNS` and `MORE`, as the model takes them."""
    return [(record, MODIFIED) for batch in (*RUNS, MORE) for record in batch]


def folder_in_memory(made: pytest.TempPathFactory) -> Path:
    """A folder in memory where there is one, else on the disk: most of a small lake's time is waiting for the disk."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return Path(tempfile.mkdtemp(prefix="carlake-test-", dir=memory if in_memory else made.mktemp("lake")))


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str], list[State]]]:
    folder = folder_in_memory(tmp_path_factory)
    runs, states = [], []
    with lakehouse(folder / "lake") as house:
        states.append(state(house))
        for number, records in enumerate(RUNS):
            report = house.run([str(put(folder / f"in{number}.json", *records))])
            assert report.status == "succeeded"
            assert all(step.rows_out for step in report.steps), "each run shall change every table"
            runs.append(report.run_id)
            states.append(state(house))
        assert len(heads(house)) >= len(DERIVED) + 1
    shutil.copytree(folder / "lake", folder / "kept")
    yield folder, runs, states
    clear(folder)


@pytest.fixture
def ran(_made: tuple[Path, list[str], list[State]]) -> Iterator[Ran]:
    """The lake after its four runs; whatever a test does to it is undone."""
    folder, runs, states = _made
    clear(folder / "lake")
    shutil.copytree(folder / "kept", folder / "lake")
    with lakehouse(folder / "lake") as house:
        yield Ran(house, list(runs), list(states))
