"""A lake with a history for the tests of maintenance, made once a module and put back as it was for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.maintenance.files import TableFiles
from carlake.upkeep.maintenance.references import referenced
from lakes import TODAY, iceberg, lakehouse, nested, put

RUNS = 12
START = datetime(2025, 10, 1, 6, tzinfo=UTC)
# By hand, at once, and with as little history as may be: what the tests then ask for is theirs.
PLAIN: dict[str, Any] = {
    "threads": 1,
    "maintenance": "off",
    "keep_snapshots": 5,
    "keep_metadata_files": 3,
    "reader_grace_minutes": 0,
    "orphan_age_hours": 0,
    "releases_kept": 0,
    "releases_days": 0,
}


def record(number: int, **more: Any) -> str:
    """A record of one of three cars that breaks two alert rules; every fourth number none that a contract accepts."""
    if number % 4 == 3:
        return f'{{"nonsense": {number}}}'
    values: dict[str, Any] = {"current_mileage_km": 120_000.0, "fuel_available_liters": 3.0, "trip_distance_km": 7.5}
    return nested(f"CAR-{number % 3}", f"e{number}", f"2025-09-{1 + number:02d}T08:00:00Z", **values | more)


def made(folder: Path) -> Iterator[Path]:
    """A lake of `RUNS` runs of one file each, a day between them, kept beside where it is used."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    own = Path(tempfile.mkdtemp(prefix="carlake-test-", dir=memory if in_memory else folder))
    now = START
    with lakehouse(own / "lake", Settings(**PLAIN)) as house:
        house.clock = lambda: now
        for number in range(RUNS):
            land(house, number)
            now = START + timedelta(days=number + 1)
    shutil.copytree(own / "lake", own / "kept")
    yield own
    shutil.rmtree(own, ignore_errors=True)


def land(house: Lakehouse, number: int, **more: Any) -> str:
    """A run over one file with one record; gives its id."""
    put(house.lake.landing / f"f{number}.json", record(number, **more))
    report = house.run(today=TODAY)
    assert report.status == "succeeded", report
    return report.run_id


@contextmanager
def opened(own: Path, **settings: Any) -> Iterator[Lakehouse]:
    """The lake as it was made, with further settings; its clock stands at the end of October."""
    shutil.rmtree(own / "lake", ignore_errors=True)
    shutil.copytree(own / "kept", own / "lake")
    with again(own, **settings) as house:
        yield house


@contextmanager
def again(own: Path, **settings: Any) -> Iterator[Lakehouse]:
    """The lake as it is now, opened anew."""
    with lakehouse(own / "lake", Settings(**PLAIN | settings)) as house:
        yield house


def files_below(house: Lakehouse, name: str) -> set[str]:
    """Every file of a table."""
    files = TableFiles(iceberg(house, name))
    return {found.path for folder in ("data", "metadata") for found in files.below(folder)}


def needed(house: Lakehouse, name: str) -> set[str]:
    """The files that a table's metadata refers to."""
    return referenced(iceberg(house, name), TableFiles(iceberg(house, name)))


def data_files(house: Lakehouse, name: str) -> int:
    """The number of data files that a table has now."""
    return int(iceberg(house, name).inspect.files().num_rows)


def snapshots(house: Lakehouse, name: str) -> list[int]:
    """A table's snapshots, oldest first."""
    return [snapshot.snapshot_id for snapshot in iceberg(house, name).snapshots()]
