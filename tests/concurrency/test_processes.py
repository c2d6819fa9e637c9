"""Several processes on one lake: every event once, nobody fails, whatever they are at and however they end."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.simulator.files import Simulated, write
from carlake.simulator.fleet import Fleet
from concurrency.work import run_and_die, run_together
from lakes import BRONZE, SILVER, STATE, TODAY, expected, held, iceberg, lakehouse, nested, put, rows_of, truck
from model import model

SPAWN = multiprocessing.get_context("spawn")
WORKERS = 5
FLEET = Fleet(events=150, cars=6, flat=0.3, snapshot=0.2, duplicates=0.1, corrections=0.15, stale=0.1, bad=0.1)


@pytest.fixture(scope="module")
def pool() -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    """Processes that are started once for this module, and what they wait at until all of them are ready."""
    with SPAWN.Manager() as manager, ProcessPoolExecutor(WORKERS, SPAWN) as executor:
        yield executor, manager.Barrier(WORKERS)


def at_once(
    pool: tuple[ProcessPoolExecutor, Any], lake: Path, paths: Sequence[list[str]], times: int = 1
) -> list[tuple[str, list[str], list[str]]]:
    """All workers run the lake at once, each with its own paths."""
    executor, barrier = pool
    running = [executor.submit(run_together, barrier, str(lake), each, times) for each in paths]
    return [outcome for each in running for outcome in each.result(timeout=300)]


def check(house: Lakehouse, simulated: Simulated) -> None:
    """The lake is what the model makes of the files, none of them lost or doubled."""
    objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
    assert held(house) == model(objects, TODAY)
    verified = house.verify()
    assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
    assert (verified.files, verified.records) == (simulated.contents, simulated.records)
    assert (verified.accepted, verified.duplicates) == (simulated.events, simulated.duplicates)


def test_all_on_the_same_files(pool: tuple[ProcessPoolExecutor, Any], small_folder: Path) -> None:
    simulated = write(FLEET, small_folder / "in", files=6)
    outcomes = at_once(pool, small_folder / "lake", [[str(simulated.folder)]] * WORKERS)
    assert outcomes == [("succeeded", [], [])] * WORKERS
    with lakehouse(small_folder / "lake") as house:
        check(house, simulated)
        assert len(set(house.runs().column("run_id").to_pylist())) <= WORKERS


def test_each_on_files_of_its_own(pool: tuple[ProcessPoolExecutor, Any], small_folder: Path) -> None:
    simulated = write(FLEET, small_folder / "in", files=WORKERS * 2)
    paths = [[str(path) for path in simulated.paths[worker::WORKERS]] for worker in range(WORKERS)]
    outcomes = at_once(pool, small_folder / "lake", paths)
    assert outcomes == [("succeeded", [], [])] * WORKERS
    with lakehouse(small_folder / "lake") as house:
        check(house, simulated)
        line = iceberg(house, BRONZE).inspect.history()
        assert line["is_current_ancestor"].to_pylist() == [True] * WORKERS, "one snapshot a run, none lost"
        assert house.runs().num_rows == WORKERS


def test_all_on_the_lakes_landing_folder_and_each_archives(
    pool: tuple[ProcessPoolExecutor, Any], small_folder: Path
) -> None:
    with lakehouse(small_folder / "lake") as house:
        simulated = write(FLEET, small_folder / "in", files=12)
        for path in simulated.paths:
            put(
                house.lake.landing / path.name,
                path.read_bytes(),
                modified=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            )
        outcomes = at_once(pool, house.lake.root, [[]] * WORKERS, times=2)
        assert outcomes == [("succeeded", [], [])] * WORKERS * 2
        assert list(house.lake.landing.iterdir()) == []
        assert sorted(path.name for path in house.lake.archive.glob("*/*/*")) == sorted(p.name for p in simulated.paths)
        check(house, simulated)


@pytest.mark.parametrize("table", [BRONZE, SILVER])
def test_one_that_is_killed_after_its_commit_loses_nothing(small_folder: Path, table: str) -> None:
    """The trap of the fast path: B1 of the killed process must reach silver, though the next one brings B2 along."""
    lost = put(
        small_folder / "lost.json", nested("A", "e1", "2025-10-01T00:00:00Z", engine_temp_celsius=120), "not json"
    )
    other = nested("A", "e2", "2025-09-01T00:00:00Z", trip_distance_km=5)
    process = SPAWN.Process(target=run_and_die, args=(str(small_folder / "lake"), [str(lost)], table))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with lakehouse(small_folder / "lake") as house:
        report = house.run([str(put(small_folder / "other.json", other))])
        assert report.status == "succeeded"
        assert held(house) == expected([(lost.read_text().splitlines()[0], _time(lost)), (other, _time(lost))])
        verified = house.verify()
        assert (verified.problems, verified.behind) == ((), ())
        assert (verified.files, verified.records, verified.accepted, verified.quarantined) == (2, 3, 2, 1)


TRUCK = truck("event_timestamp: {path: when, required: true}")


@pytest.mark.parametrize("after", [SILVER, BRONZE])
def test_a_contract_that_is_added_after_a_crash_finds_every_record_once(small_folder: Path, after: str) -> None:
    """Quarantine stayed behind silver: records that silver has are read again, and must neither double nor vanish."""

    def truck(vin: str) -> str:
        return json.dumps({"truck": {"vin": vin}, "when": "2025-10-01T00:00:00Z"})

    first = put(small_folder / "first.json", nested("A", "e1", "2025-10-01T00:00:00Z"), truck("T1"), "not json")
    second = put(small_folder / "second.json", nested("B", "e2", "2025-10-01T00:00:00Z"), truck("T2"), "nor this")
    with lakehouse(small_folder / "lake") as house:
        house.run([str(first)])
    process = SPAWN.Process(target=run_and_die, args=(str(small_folder / "lake"), [str(second)], after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    contract = small_folder / "truck.yaml"
    contract.write_text(TRUCK)
    with lakehouse(small_folder / "lake", Settings(threads=1, contracts=(contract,))) as house:
        assert house.rebuild().status == "succeeded"
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["A", "B", "T1", "T2"]
        assert [row["car_chassis"] for row in rows_of(house, STATE)] == ["A", "B", "T1", "T2"]
        verified = house.verify()
        assert (verified.problems, verified.behind) == ((), ())
        assert (verified.records, verified.accepted, verified.quarantined) == (6, 4, 2)


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
