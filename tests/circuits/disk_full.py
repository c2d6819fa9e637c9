"""A lake on a disk that is full at every point of a run, in turn: a process of its own, on a disk of its own.

    disk_full.py FOLDER [KB ...]

FOLDER is a small file system that may be filled, KB how much of it is left free, one after the other. For each amount of free space: a good run, the disk filled up but for
that much, a run that meets it, the disk freed, a run. Prints one JSON line for each: how the run that met the full disk
ended, and what was wrong with the lake then and after the last run (nothing, if all is well).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carlake.cli.app import call
from carlake.lakehouse import Lakehouse
from lakes import MODIFIED, OPS_RUNS, expected, held, iceberg, lakehouse, nested, put

RECORDS = [
    nested(
        f"CAR-{number % 5}",
        f"e{number}",
        f"2025-10-{1 + number % 28:02}T08:00:00Z",
        trip_max_speed_kmh=118.0,
        fuel_available_liters=3.0,
        trip_distance_km=10.0,
        trip_fuel_consumed_liters=1.0,
        engine_temp_celsius=120.0,
    )
    for number in range(600)
]
FREE = (0, 40, 100, 190, 260, 340)
"""Free space in KB: from too little for bronze to enough for nearly all tables."""


def main(folder: Path, sizes: Sequence[int]) -> None:
    """See above."""
    with lakehouse(folder / "lake") as house:
        put(house.lake.landing / "a.json", *RECORDS[:50])
        assert house.run().status == "succeeded"
    shutil.copytree(folder / "lake", folder / "aside", symlinks=True)
    for free in sizes:
        shutil.rmtree(folder / "lake")
        shutil.copytree(folder / "aside", folder / "lake", symlinks=True)
        with lakehouse(folder / "lake") as house:
            said = meet(house, folder / "ballast", free << 10)
        print(json.dumps({"free": free, **said}), flush=True)
    fill(folder / "ballast", 0)
    opened = call(["run", "--lake", str(folder / "lake")])
    print(json.dumps({"free": 0, "opening": opened}), flush=True)


def meet(house: Lakehouse, ballast: Path, free: int) -> dict[str, Any]:
    """One turn on a disk with so many bytes free."""
    before = held(house)
    put(house.lake.landing / "b.json", *RECORDS[20:])
    assert house.engine  # opened as in a process that runs already, so that it is the tables' writes that fail
    fill(ballast, free)
    met = house.run()
    wrong = [f"{table}: row that is neither old nor new" for table in half_states(house, before)]
    unnamed = unnamed_files(house)
    ballast.unlink()
    after = house.run()
    if after.status != "succeeded":
        wrong.append(f"the next run {after.status}: {[each.error for each in after.steps if each.error]}")
    if held(house) != whole():
        wrong.append("rows differ from an undisturbed run's")
    if not house.verify().ok:
        wrong.append(str(house.verify().problems))
    if house.circuits():
        wrong.append(f"circuits that did not close: {house.circuits()}")
    return {
        "status": met.status,
        "failed": {each.table: each.error for each in met.steps if each.status == "failed"},
        "unnamed": unnamed,
        "wrong": wrong,
    }


def fill(ballast: Path, free: int) -> None:
    """Fill the disk up but for so many bytes."""
    left = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(max(left.f_bavail * left.f_frsize - free, 0)))


def whole() -> Any:
    return expected([(text, MODIFIED) for text in RECORDS])


def half_states(house: Lakehouse, before: Any) -> list[str]:
    """Tables that are neither as before the run nor as after it."""
    now, right = held(house), whole()
    return [name for name in now if now[name] not in (before[name], right[name])]


def unnamed_files(house: Lakehouse) -> list[str]:
    """Data files that no snapshot names: what a refresh has left that did not go through."""
    found: list[str] = []
    for name in house.declared:
        if name == OPS_RUNS or not house.catalog.table_exists(f"{house.settings.namespace}.{name}"):
            continue
        table = iceberg(house, name)
        named = {
            entry.data_file.file_path.removeprefix("file://")
            for snapshot in table.snapshots()
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        }
        there = Path(table.location().removeprefix("file://"), "data").rglob("*.parquet")
        found += [str(path) for path in there if str(path) not in named]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]] or FREE)
