"""A Spark run is killed while `watch` goes on; the embedded engine finishes what it began. More: `make torture-spark`."""

from __future__ import annotations

from pathlib import Path

from spark.kills import kill_spark


def test_a_spark_run_that_is_killed_beside_a_watch(small_folder: Path) -> None:
    outcome = kill_spark(small_folder, kills=1, longest_seconds=6)
    assert (outcome.kills, outcome.problems) == (1, [])
    assert outcome.trickle > 0
