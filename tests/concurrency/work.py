"""What worker processes do: run a lake when all are ready, and tell what came of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from lakes import lakehouse


def run_together(barrier: Any, lake: str, paths: list[str], times: int) -> list[tuple[str, list[str], list[str]]]:
    """Run the lake so many times, beginning with all the others; gives status, errors and problems of each run."""
    barrier.wait(120)
    outcomes = []
    with lakehouse(Path(lake)) as house:
        for _ in range(times):
            report = house.run(paths)
            errors = [f"{step.table}: {step.error}" for step in report.steps if step.error]
            outcomes.append((report.status, errors, [f"{each.uri} {each.why}" for each in report.problems]))
    return outcomes


def run_and_die(lake: str, paths: list[str], table: str) -> None:
    """Run the lake, and be killed right after the first commit of a table has landed."""
    house = lakehouse(Path(lake))
    catalog = house.catalog
    commit = catalog.commit_table

    def commit_and_die(iceberg: Any, *rest: Any) -> Any:
        answer = commit(iceberg, *rest)
        if iceberg.name()[-1] == table:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    catalog.commit_table = commit_and_die
    house.run(paths)
