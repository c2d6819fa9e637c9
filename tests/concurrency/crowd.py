"""Many processes on one lake: eight that land, and one that lands while another mends, tidies up or takes rows out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carlake.errors import NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from carlake.upkeep.maintenance.maintain import maintain
from crashes.operations import problems
from crashes.processes import CHILDREN, finish, start
from lakes import MODIFIED, NOON, TODAY, Landed, expected, held, lakehouse, nested, put
from model import model

_TIDY = Settings(
    threads=1, keep_snapshots=5, compact_files=2, keep_metadata_files=2, reader_grace_minutes=0, releases_kept=2,
    releases_days=0,
)  # fmt: skip
_FLEET = Fleet(events=400, cars=12, flat=0.3, snapshot=0.2, duplicates=0.1, corrections=0.15, stale=0.1, bad=0.1)


@dataclass
class Crowded:
    """What came of it: objects landed, how often the other operation was done, and what is wrong."""

    objects: int = 0
    times: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def landing_together(barrier: Any, lake: str, paths: Sequence[str]) -> None:
    """In a child: run the lake when all are ready."""
    barrier.wait(120)
    with lakehouse(Path(lake)) as house:
        assert house.run(list(paths)).status == "succeeded"


def all_at_once(folder: Path, processes: int = 8, *, same: bool, files: int = 16) -> Crowded:
    """So many processes land at once, all the same files or each its own."""
    began = time.monotonic()
    simulated = write(_FLEET, folder / "in", files=files)
    barrier = CHILDREN.Barrier(processes)
    paths = [str(path) for path in simulated.paths]
    own = [paths if same else paths[number::processes] for number in range(processes)]
    running = [start(landing_together, barrier, str(folder / "lake"), each) for each in own]
    outcome = Crowded(len(paths), processes)
    outcome.problems += [f"a process ended with {code}" for each in running if (code := finish(each))]
    with lakehouse(folder / "lake") as house:
        objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
        outcome.problems += problems(house) + _differences(house, model(objects, TODAY))
    outcome.seconds = time.monotonic() - began
    return outcome


def landing_one_by_one(lake: str, folder: str, number: int, done: Any) -> None:
    """In a child: land objects one after the other, each by a run of its own."""
    try:
        with lakehouse(Path(lake), _TIDY) as house:
            for each in range(number):
                put(house.lake.landing / f"{each}.json", *_texts(each), modified=MODIFIED + timedelta(seconds=each))
                report = house.run()
                # Held tables are left alone, which is no failure of theirs.
                assert not [step for step in report.steps if step.status == "failed"], report
    finally:
        done.set()


def _texts(number: int) -> list[str]:
    at, version = f"2025-10-{number % 28 + 1:02d}T00:00:00Z", f"2025-11-01T00:{number // 60:02d}:{number % 60:02d}Z"
    hot = {"engine_temp_celsius": 130 if number % 2 else 90, "trip_distance_km": number}
    return [
        nested(f"car{number % 3}", f"e{number % 7}", f"2025-10-{number % 7 + 1:02d}T00:00:00Z", version, **hot),
        nested("gone", f"g{number}", at, version, **hot),
    ]


def _roll_back(house: Lakehouse, folder: Path) -> None:
    runs = house.query("SELECT max(run_id) AS newest FROM ops_runs WHERE trigger = 'run'").to_pylist()
    with suppress(NotFoundError):  # it changed nothing, or what it made is not kept any more
        house.rollback(runs[0]["newest"] or "none")
    house.resume()


def _rebuild(house: Lakehouse, folder: Path) -> None:
    assert house.rebuild().status == "succeeded"


def _maintain(house: Lakehouse, folder: Path) -> None:
    done = maintain(house)
    assert done.ok, done


def _forget(house: Lakehouse, folder: Path) -> None:
    house.forget("gone", unknown=True)


OTHERS: dict[str, Callable[[Lakehouse, Path], None]] = {
    "compaction, expiry and the rest of maintenance": _maintain,
    "rollback and resume": _roll_back,
    "rebuild": _rebuild,
    "forget": _forget,
}


def disturbing(name: str, lake: str, folder: str, done: Any, counted: Any) -> None:
    """In a child: do the other operation again and again until the writer is done."""
    with Lakehouse.create(lake, _TIDY, clock=lambda: NOON + timedelta(hours=1)) as house:
        while not done.is_set():
            OTHERS[name](house, Path(folder))
            counted.value += 1
            time.sleep(0.05)


def writer_against(name: str, folder: Path, objects: int = 20) -> Crowded:
    """One process lands object after object, while another does the named operation again and again."""
    began = time.monotonic()
    lake, done, counted = str(folder / "lake"), CHILDREN.Event(), CHILDREN.Value("i", 0)
    with lakehouse(folder / "lake", _TIDY) as house:
        assert house.run([str(put(folder / "first.json", nested("first", "e", "2025-10-01T00:00:00Z")))]).files == 1
    writer = start(landing_one_by_one, lake, str(folder), objects, done)
    other = start(disturbing, name, lake, str(folder), done, counted)
    outcome = Crowded(objects)
    outcome.problems += [f"a process ended with {code}" for each in (writer, other) if (code := finish(each))]
    outcome.times = counted.value
    landed: list[Landed] = [(nested("first", "e", "2025-10-01T00:00:00Z"), MODIFIED)]
    for number in range(objects):
        landed += [(text, MODIFIED + timedelta(seconds=number)) for text in _texts(number)]
    with lakehouse(folder / "lake", _TIDY) as house:
        if name == "forget":
            house.forget("gone", unknown=True)
            landed = [each for each in landed if '"gone"' not in each[0]]
        house.resume()
        house.run()
        outcome.problems += problems(house) + _differences(house, expected(landed))
    outcome.seconds = time.monotonic() - began
    return outcome


def _differences(house: Lakehouse, wanted: dict[str, Any]) -> list[str]:
    rows = held(house)
    return [
        f"{name}: {len(rows[name])} rows, wanted {len(wanted[name])}, or other values"
        for name in wanted
        if rows[name] != wanted[name]
    ]
