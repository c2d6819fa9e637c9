"""What other processes do to the lake: die at a commit, or run until they are told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from lakes import lakehouse, nested, put


def die_at(lake: str, number: int, *, before: bool, work: Callable[[Lakehouse], object]) -> None:
    """Do some work, and be killed right before or right after the commit of this number, from 1 on."""
    house = lakehouse(Path(lake))
    commit = house.catalog.commit_table
    done = 0

    def commit_and_die(*given: Any) -> Any:
        nonlocal done
        done += 1
        if before and done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = commit(*given)
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    house.catalog.commit_table = commit_and_die
    work(house)


def rollback_and_die(lake: str, run: str, number: int, before: bool) -> None:
    """Roll back and be killed at a commit."""
    die_at(lake, number, before=before, work=lambda house: house.rollback(run))


def resume_and_die(lake: str, number: int) -> None:
    """Resume and be killed after a commit."""
    die_at(lake, number, before=False, work=lambda house: house.resume())


def run_and_die(lake: str, paths: list[str], number: int) -> None:
    """Run and be killed after a commit."""
    die_at(lake, number, before=False, work=lambda house: house.run(paths))


def run_until(lake: str, inbox: str, begun: Any, stop: Any) -> tuple[int, list[str]]:
    """Run over file after file; gives how many there were, and what went wrong."""
    wrong: list[str] = []
    number = 0
    with lakehouse(Path(lake)) as house:
        while not stop.is_set():
            path = put(Path(inbox) / f"{number}.json", *records(number))
            report = house.run([str(path)])
            wrong += [f"{step.table}: {step.error}" for step in report.steps if step.error]
            wrong += [] if report.status == "succeeded" else [report.status]
            number += 1
            begun.set()
    return number, wrong


def records(number: int) -> tuple[str, str]:
    """The records of one file: a new event of one car, and a correction of another's."""
    processed = f"2025-10-02T00:00:{number % 60:02}Z"
    return (
        nested("E", f"e{number}", f"2025-10-01T00:{number % 60:02}:00Z", engine_temp_celsius=101 + number % 9),
        nested("A", "e1", "2025-10-01T00:00:00Z", processed, trip_distance_km=100 + number),
    )
