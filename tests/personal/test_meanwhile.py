"""A car is forgotten whatever happens meanwhile: a crash at any moment, a writer that began before, one that goes on."""

from __future__ import annotations

import multiprocessing
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.upkeep.erasure.search import Needle, Searched, search
from lakes import ALERTS, BRONZE, MODIFIED, SILVER, STATE, expected, held, lakehouse, nested, put
from personal.moments import forget_and_die, land_on

SPAWN = multiprocessing.get_context("spawn")
CAR, OTHER = "WVWZZZ1JZXW000001", "1FTFW1ET5DFC10312"
OWN = [nested(CAR, f"e{n}", f"2025-10-0{n}T00:00:00Z", engine_temp_celsius=120, trip_distance_km=5) for n in (1, 2, 3)]
OTHERS = [nested(OTHER, f"e{n}", f"2025-10-0{n}T00:00:00Z", engine_temp_celsius=120) for n in (1, 2)]
FORGOTTEN = "ops_forgotten"


class CrashError(BaseException):
    """The process ends here, as far as this lake is concerned."""


def check(house: Lakehouse, others: list[str]) -> None:
    assert held(house) == expected([(text, MODIFIED) for text in others])
    verified = house.verify()
    assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
    assert verified.records == verified.accepted + verified.quarantined + verified.duplicates + verified.forgotten
    house.release_engine()
    assert list(search(house.lake.root, Needle([CAR]), Searched())) == []


def made(folder: Path) -> Path:
    with lakehouse(folder / "lake") as house:
        put(house.lake.landing / f"{CAR}.json", OWN[0], OTHERS[0], '{"carChassis": "' + CAR)
        house.run()
        put(house.lake.landing / "b.json", OWN[1])
        house.run()
        put(house.lake.landing / "c.json", OWN[2], OTHERS[1])
    return folder / "lake"


# After the tombstone; after the first table lost its rows; while files are removed; in the archive.
MOMENTS = [(FORGOTTEN, 1), (BRONZE, 2), ("removed", 9), ("rewritten", 1)]


@pytest.mark.parametrize(("moment", "times"), MOMENTS)
def test_killed_at_a_moment_and_given_again(small_folder: Path, moment: str, times: int) -> None:
    lake = made(small_folder)
    process = SPAWN.Process(target=forget_and_die, args=(str(lake), CAR, moment, times))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with lakehouse(lake) as house:
        done = house.forget(CAR)
        assert done.ok and done.known
        check(house, OTHERS)


@pytest.mark.parametrize("table", [BRONZE, SILVER, STATE, ALERTS])
def test_a_writer_that_began_before(small_folder: Path, table: str) -> None:
    """Its commit is refused by the erasure's; it reads the tombstones again and leaves the car out."""
    lake = made(small_folder)
    with lakehouse(lake) as writer, lakehouse(lake) as eraser:
        forward = writer.catalog.commit_table
        done: list[Any] = []

        def commit_table(target: Any, *rest: Any) -> Any:
            if target.name()[-1] == table and not done:
                done.append(None)
                # What waits in landing is taken by the writer alone, so that it is the one that brings the car.
                eraser.run = lambda: None  # type: ignore[method-assign, assignment, return-value]
                done.append(eraser.forget(CAR))
            return forward(target, *rest)

        writer.catalog.commit_table = commit_table
        report = writer.run()
        assert report.status == "succeeded" and len(done) == 2
        assert sum(step.refusals for step in report.steps) > 0
        check(writer, OTHERS)


@pytest.mark.parametrize("table", [BRONZE, SILVER])
def test_a_writer_that_brings_the_car_first(small_folder: Path, table: str) -> None:
    """The erasure finds no row to take out, and commits all the same: else nothing would refuse this writer."""
    with lakehouse(small_folder / "lake") as writer, lakehouse(small_folder / "lake") as eraser:
        put(writer.lake.landing / "a.json", OTHERS[0])
        writer.run()
        put(writer.lake.landing / "b.json", OWN[0], OTHERS[1])
        forward, done = writer.catalog.commit_table, []

        def commit_table(target: Any, *rest: Any) -> Any:
            if target.name()[-1] == table and not done:
                done.append(None)
                eraser.run = lambda: None  # type: ignore[method-assign, assignment, return-value]
                eraser.forget(CAR)
            return forward(target, *rest)

        writer.catalog.commit_table = commit_table
        assert writer.run().status == "succeeded" and done
        check(writer, OTHERS)


def test_an_archiver_that_began_before(small_folder: Path) -> None:
    """Its rows were committed before the erasure; its object comes into the archive after it, and without the car."""
    lake = made(small_folder)
    with lakehouse(lake) as writer, lakehouse(lake) as eraser:
        archive = writer._archive

        def late(landed: Any) -> Any:
            eraser.run = lambda: None  # type: ignore[method-assign, assignment, return-value]
            # The object in landing is still the writer's: the search finds the car there.
            assert not eraser.forget(CAR).ok
            return archive(landed)

        writer._archive = late  # type: ignore[method-assign]
        assert writer.run().status == "succeeded"
        check(writer, OTHERS)


def test_a_process_that_lands_the_car_on_and_on(small_folder: Path) -> None:
    lake, begun, stop = made(small_folder), small_folder / "begun", small_folder / "stop"
    with ProcessPoolExecutor(1, SPAWN) as pool:
        landing = pool.submit(land_on, str(lake), CAR, str(begun), str(stop))
        until = time.monotonic() + 120
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.05)
        with lakehouse(lake) as house:
            house.forget(CAR)
            stop.touch()
            landed = landing.result(timeout=240)
        with lakehouse(lake) as house:
            assert house.run().status == "succeeded"
            verified = house.verify()
            assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
            # Every record of the car that came, before and after; three of the first objects and a broken one.
            assert (verified.forgotten, landed > 1) == (landed + 4, True)
            house.release_engine()
            assert list(search(house.lake.root, Needle([CAR]), Searched())) == []
