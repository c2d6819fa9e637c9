"""Both engines at one lake at once, on the same files."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.engines.spark.landing import SparkBatch
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from concurrency.work import run_together
from lakes import BRONZE, TODAY, held, iceberg, lakehouse
from model import model
from spark.sessions import spark_settings

SPAWN = multiprocessing.get_context("spawn")
EMBEDDED = 2
FLEET = Fleet(events=150, cars=6, flat=0.3, snapshot=0.2, duplicates=0.1, corrections=0.15, stale=0.1, bad=0.1)


def test_embedded_processes_and_spark_land_the_same_files_at_once(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded ones begin when Spark has read its first batch and is about to commit: whoever is refused, none
    fails, and every event is there once.
    """
    simulated = write(FLEET, small_folder / "in", files=6)
    lake = small_folder / "lake"
    with SPAWN.Manager() as manager, ProcessPoolExecutor(EMBEDDED, SPAWN) as executor:
        barrier = manager.Barrier(EMBEDDED + 1)
        with lakehouse(lake, spark_settings(batch_files=3)) as house:
            stage, begun = SparkBatch.stage, []

            def stage_when_all_are_there(batch: SparkBatch, *args: Any) -> Any:
                if not begun:
                    begun.append(barrier.wait(120))
                return stage(batch, *args)

            monkeypatch.setattr(SparkBatch, "stage", stage_when_all_are_there)
            paths = [[str(path) for path in order] for order in (simulated.paths, simulated.paths[::-1])]
            running = [executor.submit(run_together, barrier, str(lake), each, 1) for each in paths]
            report = house.run([str(simulated.folder)])
            assert (report.status, report.problems) == ("succeeded", ()), report
            assert begun, "Spark met nobody"
        assert [outcome for each in running for outcome in each.result(300)] == [("succeeded", [], [])] * EMBEDDED
    with lakehouse(lake, Settings(threads=1, maintenance="off")) as house:
        objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
        assert held(house) == model(objects, TODAY)
        verified = house.verify()
        assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
        assert (verified.files, verified.accepted) == (simulated.contents, simulated.events)
        engines = {
            snapshot.summary.additional_properties["carlake.engine"] for snapshot in iceberg(house, BRONZE).snapshots()
        }
        assert engines and engines <= {"duckdb", "spark"}
