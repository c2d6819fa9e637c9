from __future__ import annotations

import os
from pathlib import Path

import pytest

from carlake.errors import NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.refresh.report import RunReport, Step
from carlake.refresh.run import write_down
from carlake.settings import Settings

from .conftest import FIRST, NEWER, NOON, Built, put


def test_the_newest_runs_one_row_each(built: Built) -> None:
    runs = built.house.runs()
    assert runs.column_names == [
        "run_id",
        "trigger",
        "status",
        "started_at",
        "seconds",
        "files",
        "records",
        "rows_out",
        "quarantined",
        "duplicates",
        "tables",
        "error",
    ]
    newest, *_, oldest = runs.to_pylist()
    assert newest["started_at"] >= oldest["started_at"]
    told = {key: newest[key] for key in ("trigger", "status", "files", "records", "quarantined", "duplicates", "error")}
    # Landed again with known content counts in files only; of five accepted records two are not their event's newest.
    assert told == {
        "trigger": "run",
        "status": "succeeded",
        "files": 5,
        "records": 10,
        "quarantined": 5,
        "duplicates": 4,
        "error": None,
    }
    done, of = newest["tables"].split("/")
    assert done == of and newest["seconds"] > 0
    assert (oldest["files"], oldest["records"], oldest["quarantined"]) == (1, 1, 0)
    assert built.house.runs(limit=1).num_rows == 1


def test_one_run_by_its_id_by_its_beginning_and_as_the_last(built: Built) -> None:
    rows = built.house.runs("last").to_pylist()
    assert [row["table"] for row in rows][:2] == ["bronze_car_data", "silver_car_telemetry"]
    assert {row["status"] for row in rows} <= {"succeeded", "skipped"}
    bronze, silver, *_ = rows
    assert (bronze["rows_in"], bronze["rows_out"], bronze["files"]) == (10, 10, 5)
    assert silver["source_snapshot_id"] == bronze["snapshot_id"]
    assert bronze["snapshot_id"] == built.house.table("bronze").snapshot_id
    for name in (rows[0]["run_id"], rows[0]["run_id"][:-1]):
        assert built.house.runs(name).to_pylist() == rows
    with pytest.raises(NotFoundError, match="3 runs begin with '202'"):
        built.house.runs("202")


def test_a_run_that_is_not_there(built: Built, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match='no run "x\' or 1=1"'):
        built.house.runs("x' or 1=1")
    with Lakehouse.create(tmp_path / "lake") as house:
        assert house.runs().num_rows == 0
        with pytest.raises(NotFoundError, match="No run has changed anything"):
            house.runs("last")


def test_a_run_whose_object_could_not_be_taken_in_is_partial(tmp_path: Path) -> None:
    with Lakehouse.create(tmp_path / "lake", Settings(), lambda: NOON) as house:
        put(tmp_path / "fed" / "one.json", FIRST, NOON)
        os.mkfifo(tmp_path / "fed" / "pipe.json")
        report = house.run([str(tmp_path / "fed")])
        (row,) = house.runs().to_pylist()
        assert row["status"] == report.status == "partial"
        assert "pipe.json" in row["error"]
        done, of = row["tables"].split("/")
        assert done == of


def test_a_run_with_a_failed_table_is_partial(tmp_path: Path) -> None:
    clock = [NOON]
    with Lakehouse.create(tmp_path / "lake", Settings(), lambda: clock[0]) as house:
        put(house.lake.landing / "one.json", FIRST, NOON)
        house.run()
        clock[0] = NOON.replace(hour=13)
        place = Path(
            house.catalog.load_table("carlake.gold_performance_alerts_log").location().removeprefix("file://"), "data"
        )
        # A file where the folder for data files would be: this one table cannot be written.
        assert not place.exists()
        place.write_bytes(b"")
        put(house.lake.landing / "two.json", NEWER, NOON)
        report = house.run()
        row = house.runs().to_pylist()[0]
        assert row["status"] == report.status == "partial"
        done, of = row["tables"].split("/")
        assert int(done) == int(of) - 1
        assert "gold_performance_alerts_log" in row["error"]
        failed = [step["table"] for step in house.runs("last").to_pylist() if step["status"] == "failed"]
        assert failed == ["gold_performance_alerts_log"]


def test_a_run_that_could_not_land_is_failed(tmp_path: Path) -> None:
    with Lakehouse.create(tmp_path / "lake", Settings(), lambda: NOON) as house:
        house.context().load("bronze_car_data")
        place = Path(house.catalog.load_table("carlake.bronze_car_data").location().removeprefix("file://"), "data")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
        put(house.lake.landing / "one.json", FIRST, NOON)
        report = house.run()
        (row,) = house.runs().to_pylist()
        assert row["status"] == report.status == "failed"
        assert "bronze_car_data" in row["error"]


def test_a_run_whose_second_batch_could_not_land_is_failed_though_tables_moved(tmp_path: Path) -> None:
    with Lakehouse.create(tmp_path / "lake", Settings(), lambda: NOON) as house:
        steps = (
            Step("bronze_car_data", "failed", rows_out=1, started_at=NOON, seconds=1.5, error="disk full"),
            Step("silver_car_telemetry", "succeeded", rows_out=1, started_at=NOON, seconds=2.0),
        )
        report = RunReport(
            run_id="r1", trigger="run", status="failed", started_at=NOON, seconds=2.0, files=1, records=1, steps=steps
        )
        write_down(house.context(), [report])
        (row,) = house.runs().to_pylist()
        told = (row["status"], row["tables"], row["seconds"], row["error"])
        assert told == ("failed", "1/2", 2.0, "bronze_car_data: disk full")
