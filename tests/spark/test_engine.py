"""What the engine on Spark reads and writes: no file too many, none that is damaged, and what it says when it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from carlake.engines.manifests import live_files
from carlake.engines.spark import engine as spark_engine
from carlake.engines.spark import session
from carlake.engines.spark.failures import WorkFailedError
from carlake.engines.spark.file_sets import FileSets
from carlake.errors import DamagedError
from carlake.settings import Settings
from lakes import MODIFIED, MONTHLY, SILVER, iceberg, lakehouse, nested, put, rows_of, step
from spark.sessions import spark_settings

EMBEDDED = Settings(threads=1, maintenance="off")
CARS, MONTHS = "ABCD", range(4, 10)


def events(car: str, processed: str = "2025-11-01T00:00:00Z", months: Sequence[int] = MONTHS) -> list[str]:
    return [
        nested(car, f"{car}{month}", f"2025-{month:02d}-15T00:00:00Z", processed, trip_distance_km=month)
        for month in months
    ]


def test_few_events_touch_few_files(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each car has a file in each month: a correction reads and writes one of twenty-four, and its neighbours in time."""
    with lakehouse(small_folder / "lake", EMBEDDED) as house:
        for number, car in enumerate(CARS):
            modified = MODIFIED + timedelta(minutes=number)
            house.run([str(put(small_folder / f"{car}.ndjson", *events(car), modified=modified))])
        assert len(live_files(iceberg(house, SILVER), iceberg(house, SILVER).current_snapshot().snapshot_id)) == 24
    read: dict[str, list[int]] = {}
    made = FileSets.table

    def noted(self: FileSets, table: Any, files: Any) -> str:
        read.setdefault(table.name()[-1], []).append(len(files))
        return made(self, table, files)

    monkeypatch.setattr(FileSets, "table", noted)
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        again = events("B", "2025-11-02T00:00:00Z", months=[6])
        again.append(nested("B", "B6b", "2025-06-16T00:00:00Z", "2025-11-02T00:00:00Z", trip_distance_km=1))
        report = house.run([str(put(small_folder / "again.ndjson", *again, modified=MODIFIED + timedelta(hours=1)))])
        assert report.status == "succeeded"
        assert (step(report, SILVER).rows_out, step(report, SILVER).rows_removed) == (2, 1)
        summary = iceberg(house, SILVER).current_snapshot().summary.additional_properties
        assert (summary["deleted-data-files"], summary["added-data-files"]) == ("1", "1")
        # Six files may hold the car; what was hit is read whole, and what came and went by each table that is made of it.
        assert max(read[SILVER]) <= 6
        assert max(read["bronze_car_data"]) == 1
        [month] = [
            row for row in rows_of(house, MONTHLY) if (row["car_chassis"], row["year_month"]) == ("B", "2025-06")
        ]
        assert (str(month["total_km_driven"]), month["trip_count"]) == ("7.000", 2)
        assert house.verify(deep=True).ok


def test_a_damaged_file_is_not_carried_over(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the driver looks or the workers do."""
    with lakehouse(small_folder / "lake", EMBEDDED) as house:
        house.run([str(put(small_folder / "a.ndjson", *events("A")))])
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        engine = house.engine_for("run")
        assert isinstance(engine, spark_engine.SparkEngine)
        table = iceberg(house, SILVER)
        files = live_files(table, table.current_snapshot().snapshot_id)
        for here in (16, 0):
            monkeypatch.setattr(spark_engine, "_CHECKED_HERE", here)
            engine.check(files, table)
        broken = Path(str(files[2].file_path).removeprefix("file://"))
        content = bytearray(broken.read_bytes())
        content[len(content) // 2] ^= 1
        broken.write_bytes(content)
        for here in (16, 0):
            monkeypatch.setattr(spark_engine, "_CHECKED_HERE", here)
            with pytest.raises(DamagedError) as damaged:
                engine.check(files, table)
            assert broken.name in damaged.value.what


def test_workers_that_fail_leave_no_files_and_say_why(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        context, state = house.context(), house.declared["gold_car_current_state"]
        engine = context.engine
        assert isinstance(engine, spark_engine.SparkEngine)
        table = context.load(state.name)
        folder = Path(str(table.location()).removeprefix("file://"))
        (folder / "data").parent.mkdir(parents=True, exist_ok=True)
        with engine.session():
            nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in _duckdb_columns(state)[1:])
            rows = engine.view(
                f"SELECT CAST(n AS VARCHAR) AS car_chassis, {nulls} FROM {engine.table(pa.table({'n': list(range(50))}))} AS t"
            )
            [file] = engine.write(state, table, rows, most=50)
            assert file.record_count == 50
            folder.joinpath("data").rename(folder / "aside")
            folder.joinpath("data").write_text("not a folder")
            with pytest.raises(WorkFailedError) as failed:
                engine.write(state, table, rows, most=50)
            assert str(failed.value).startswith(("FileExistsError", "NotADirectoryError"))
            assert "\n" not in str(failed.value)


def test_tables_are_made_again_whole_in_a_folder_of_any_name(small_folder: Path) -> None:
    """Each as one snapshot, whatever a URI makes of its place."""
    place = small_folder / "a b, 100%2F #1? é" / "lake"
    with lakehouse(place, EMBEDDED) as house:
        house.run([str(put(small_folder / "a.ndjson", *events("A"), "what is this?"))])
        before = {name: rows_of(house, name) for name in (SILVER, MONTHLY, "quarantine_car_data")}
    with lakehouse(place, spark_settings()) as house:
        report = house.rebuild(everything=True)
        assert {(each.status, each.why, each.error) for each in report.steps} == {("succeeded", "asked", "")}
        for name, rows in before.items():
            assert rows_of(house, name) == rows
            summary = iceberg(house, name).current_snapshot().summary.additional_properties
            assert (summary["carlake.kind"], summary["carlake.engine"]) == ("rebuild", "spark")
            assert summary["deleted-records"] == summary["added-records"] == str(len(rows))
        assert house.verify(deep=True).ok


def _duckdb_columns(table: Any) -> list[tuple[str, str]]:
    from carlake.engines.schemas import DUCKDB

    return [(column.name, DUCKDB[column.type]) for column in table.columns]


def test_what_is_kept_ends_with_the_session(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        engine = house.engine_for("run")
        assert isinstance(engine, spark_engine.SparkEngine)
        with engine.session():
            kept = engine.keep(f"SELECT n FROM {engine.table(pa.table({'n': [1, 2, None]}))} AS t WHERE n IS NOT NULL")
            assert (engine.count(kept), engine.rows(f"SELECT n FROM {kept} ORDER BY n DESC")) == (2, [(2,), (1,)])
            assert [batch.num_rows for batch in engine.batches(f"SELECT n FROM {kept}", 1)] == [1, 1]
        with engine.session():
            assert engine.spark.catalog.listTables() == []
        scratch = list(house.lake.scratch.glob("spark-*"))
        assert len(scratch) == 1
    assert not scratch[0].exists()


def test_workers_run_the_python_of_the_driver(small_folder: Path) -> None:
    """Not what PATH has first."""
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        engine = house.engine_for("run")
        assert isinstance(engine, spark_engine.SparkEngine)

        def named(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for _ in batches:
                yield pa.record_batch([pa.array([sys.prefix])], names=["prefix"])

        rows = engine.spark.range(0, 1, 1, 1).mapInArrow(named, "prefix string").collect()
        assert [row[0] for row in rows] == [sys.prefix]


def test_a_context_that_runs_already_is_found_from_any_thread_and_goes_on(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark calls a session active in the thread alone that made it: a notebook's would be taken for one of our own."""
    running = SparkSession.getActiveSession()
    assert running is not None
    monkeypatch.setattr(session, "_own", False)  # it is the notebook's
    monkeypatch.setattr(session, "_users", 0)

    def use() -> int:
        assert SparkSession.getActiveSession() is None
        with lakehouse(small_folder / "lake", spark_settings()) as house:
            return house.engine_for("run").count("(SELECT 1 AS one)")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(use).result() == 1
    assert not session._own
    assert running.range(3).count() == 3


def test_a_session_that_is_not_whole_is_not_kept(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scratch folder cannot be made, for a moment: the next use has a whole one, and none is left open."""
    users = session._users
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        spark = house.engine_for("run")
        scratch = house.lake.scratch
        scratch.rename(scratch.with_name("away"))
        scratch.touch()
        with pytest.raises(OSError):
            spark.count("(SELECT 1 AS one)")
        assert session._users == users
        scratch.unlink()
        scratch.with_name("away").rename(scratch)
        assert spark.count("(SELECT 1 AS one)") == 1
    assert session._users == users
