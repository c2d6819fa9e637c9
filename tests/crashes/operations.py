"""What is interrupted: each operation with the lake that it begins on. A new operation is one entry in OPERATIONS."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.maintenance.maintain import maintain
from lakes import NOON, QUARANTINE, flat, held, lakehouse, nested, oldest, put, rows_of

_RULES = "rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 50}\n  LOW_FUEL: off\n"


@dataclass(frozen=True)
class Operation:
    """Something that is done to a lake.

    prepare  makes the lake in a folder; its landing is filled, what the command needs lies beside the lake
    command  what is interrupted, and done again by another process
    done     what must hold of the lake after the command, beside what `state` says
    """

    prepare: Callable[[Path], None]
    command: Callable[[Path], object]
    done: Callable[[Lakehouse], None] = lambda house: None


def first_objects(landing: Path) -> None:
    """Three objects of all shapes, one with a record that nobody understands."""
    put(
        landing / "a.json",
        nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=5, engine_temp_celsius=120, trip_fuel_consumed_liters=1),
        nested("B", "e2", "2025-09-01T00:00:00Z", trip_distance_km=7, insurance_valid_until="2025-12-01"),
        "not json",
    )  # fmt: skip
    put(landing / "b.json", flat("A", "2025-10-31T00:00:00Z", current_mileage_km=100001, fuel_available_liters=3))
    put(landing / "sub" / "c.json", oldest("C", "Wed, 29 Oct 2025 11:00:00", manufacturer="Pampa"))


def more_objects(landing: Path) -> None:
    """A correction, a duplicate under another name, a new car, and a bad record."""
    put(
        landing / "d.json",
        nested("A", "e1", "2025-10-01T00:00:00Z", "2025-11-01T00:00:00Z", trip_distance_km=6, engine_temp_celsius=90),
        nested("D", "e4", "2025-10-05T00:00:00Z", trip_max_speed_kmh=140),
    )
    put(landing / "same.json", flat("A", "2025-10-31T00:00:00Z", current_mileage_km=100001, fuel_available_liters=3))
    put(landing / "sub" / "bad.json", '{"carChassis": 17}')


def _empty(folder: Path) -> None:
    first_objects(folder / "lake" / "landing")


def _filled(folder: Path) -> None:
    with lakehouse(folder / "lake") as house:
        first_objects(house.lake.landing)
        assert house.run().status == "succeeded"


def _waiting(folder: Path) -> None:
    _filled(folder)
    more_objects(folder / "lake" / "landing")


def _two_runs(folder: Path) -> None:
    _waiting(folder)
    _run(folder)


def _rules_changed(folder: Path) -> None:
    _two_runs(folder)
    (folder / "rules.yaml").write_text(_RULES)


def _run(folder: Path) -> None:
    with lakehouse(folder / "lake") as house:
        _well(house.run())


def _run_later(folder: Path) -> None:
    with lakehouse(folder / "lake") as house:
        _well(house.run(today=date(2026, 3, 1)))


def _rebuild(folder: Path) -> None:
    with lakehouse(folder / "lake", settings(folder)) as house:
        _well(house.rebuild())


def _many_runs(folder: Path) -> None:
    """A lake in which every job of maintenance is due."""
    _two_runs(folder)
    due = {"keep_snapshots": 5, "compact_files": 2, "keep_metadata_files": 2, "releases_kept": 1, "releases_days": 0}
    (folder / "settings.json").write_text(json.dumps({**due, "reader_grace_minutes": 0, "orphan_age_hours": 0}))
    for number in range(5):
        at = f"2025-10-0{number + 1}T12:00:00Z"
        put(folder / "lake" / "landing" / f"{number}.json", nested("A", f"m{number}", at, engine_temp_celsius=130))
        _run(folder)


def _maintain(folder: Path) -> None:
    with opened(folder, later=timedelta(days=30)) as house:
        assert maintain(house).ok


def _knowing_its_runs(folder: Path) -> None:
    _filled(folder)
    more_objects(folder / "lake" / "landing")
    with lakehouse(folder / "lake") as house:
        (folder / "run.txt").write_text(house.run().run_id)


def _rollback(folder: Path) -> None:
    with opened(folder) as house:
        house.rollback((folder / "run.txt").read_text())


def _rolled_back(folder: Path) -> None:
    _knowing_its_runs(folder)
    _rollback(folder)


def _resume(folder: Path) -> None:
    with opened(folder) as house:
        house.resume()
        _well(house.run())


def _forget(folder: Path) -> None:
    with opened(folder) as house:
        house.forget("A")


def _without_a_catalog(folder: Path) -> None:
    _two_runs(folder)
    (folder / "lake" / "catalog.db").unlink()


def _recover(folder: Path) -> None:
    Lakehouse.recover(folder / "lake", settings(folder), clock=lambda: NOON)


def _well(report: Any) -> None:
    assert report.status == "succeeded", report


def settings(folder: Path) -> Settings:
    """The settings of a lake that was prepared in a folder."""
    rules, more = folder / "rules.yaml", folder / "settings.json"
    given = json.loads(more.read_text()) if more.exists() else {}
    return Settings(threads=1, rules=[rules] if rules.exists() else [], **given)


OPERATIONS: dict[str, Operation] = {
    "first run": Operation(_empty, _run),
    "run": Operation(_waiting, _run),
    "a later day": Operation(_two_runs, _run_later),
    "rebuild": Operation(_rules_changed, _rebuild),
    "maintain": Operation(_many_runs, _maintain),
    "rollback": Operation(_knowing_its_runs, _rollback),
    "resume": Operation(_rolled_back, _resume),
    "forget": Operation(_waiting, _forget),
    "recover": Operation(_without_a_catalog, _recover),
}


@contextmanager
def opened(folder: Path, later: timedelta = timedelta()) -> Iterator[Lakehouse]:
    """The lake that was prepared in a folder."""
    with lakehouse(folder / "lake", settings(folder), at=NOON + later) as house:
        yield house


def state(house: Lakehouse) -> dict[str, Any]:
    """All that has to be the same however often the command was interrupted: rows, and every object's content."""
    quarantined = [(row["raw"], row["source_row"]) for row in rows_of(house, QUARANTINE)]
    return {
        **held(house),
        QUARANTINE: sorted(quarantined),
        "archive": sorted(_contents(house.lake.archive)),
        "landing": sorted(_contents(house.lake.landing)),
    }


def _contents(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def problems(house: Lakehouse) -> list[str]:
    """What `verify` finds, and names that an interrupted archive has left in landing."""
    verified = house.verify(deep=True)
    # A folder on the way that is empty is harmless, and cleared away when it is old.
    hidden = house.lake.landing.rglob(".carlake*")
    left = [str(path) for path in hidden if not path.is_dir() or any(path.iterdir())]
    behind = [f"behind: {name}" for name in verified.behind if name not in house.holds()]
    return [str(problem) for problem in verified.problems] + behind + left


class Place:
    """A lake that can be put back to how it began. A lake works only where it was made, so all of it is in one place."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.folder, self._kept = folder / "at", folder / "kept"
        self.folder.mkdir(parents=True)
        operation.prepare(self.folder)
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def restore(self) -> None:
        """As it was after `prepare`."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)
