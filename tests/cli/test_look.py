"""status, tables, runs, query, trace, verify: for people and as JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carlake.version import VERSION

TABLES = (
    *("bronze_car_data", "silver_car_telemetry", "quarantine_car_data", "gold_car_current_state"),
    *("gold_fuel_efficiency_monthly", "gold_performance_alerts_log", "ops_runs", "ops_forgotten"),
)


def test_status_is_the_lake_at_a_glance(carlake: Callable, lake: Path) -> None:
    said = carlake("status", "--lake", lake)
    assert said.code == 0
    assert "1 object, 21 bytes waiting" in said.out and "6 records" in said.out and "6/6 tables" in said.out
    assert all(name in said.out for name in TABLES)
    assert said.out.index(f"carlake run --lake {lake}") < said.out.index(f"carlake quarantine --lake {lake}")
    document = carlake("status", "--lake", lake, "--json").json
    assert set(document) == {"lake", "run", "tables", "landing", "quarantined", "changed", "circuits", "watched"}
    assert document["landing"] == {"files": 1, "bytes": 21, "unreadable": []} and document["quarantined"] == 6


def test_status_of_an_empty_lake_says_how_to_begin(carlake: Callable, fresh: Path) -> None:
    said = carlake("status", "--lake", fresh)
    assert said.code == 0 and "none yet" in said.out and "carlake simulate" in said.out


def test_tables_shows_rows_and_bookmarks(carlake: Callable, lake: Path) -> None:
    said = carlake("tables", "--lake", lake)
    assert said.code == 0
    document = carlake("tables", "--lake", lake, "--json").json
    assert [table["table"] for table in document] == list(TABLES)
    silver = document[1]
    assert silver["rows"] == 60 and silver["created"].endswith("Z") and silver["updated"].endswith("Z")
    assert silver["bookmark"]["source_snapshot_id"] == document[0]["snapshot_id"]
    assert silver["bookmark"]["rows_behind"] == 0 and silver["bookmark"]["day"] and silver["bookmark"]["definition"]
    lines = {line.split()[0]: line.split() for line in said.out.splitlines() if line.startswith("  silver")}
    assert lines["silver_car_telemetry"][1] == f"…{str(silver['snapshot_id'])[-7:]}"


def test_one_table_has_its_columns_with_units_and_meaning(carlake: Callable, lake: Path) -> None:
    said = carlake("tables", "current_state", "--lake", lake)
    assert said.code == 0 and said.out.startswith("gold_car_current_state\n")
    document = carlake("tables", "gold_car_current_state", "--lake", lake, "--json").json
    assert len(document["columns"]) == 14
    mileage = next(column for column in document["columns"] if column["name"] == "current_mileage_km")
    assert mileage["type"] == "double" and mileage["unit"] == "km" and mileage["doc"]
    assert next(column for column in document["columns"] if column["name"] == "car_chassis")["personal"] is True
    assert mileage["doc"].split()[0] in said.out
    assert str(document["snapshot_id"]) in said.out


def test_a_table_that_is_not_made_yet(carlake: Callable, fresh: Path) -> None:
    said = carlake("tables", "silver", "--lake", fresh)
    assert said.code == 0 and "made by the first run" in said.out


def test_runs_and_one_run(carlake: Callable, lake: Path) -> None:
    rows = carlake("runs", "--lake", lake, "--json").json
    assert len(rows) == 1 and rows[0]["status"] == "succeeded" and rows[0]["tables"] == "6/6"
    run_id = rows[0]["run_id"]
    assert run_id in carlake("runs", "--lake", lake).out
    one = carlake("runs", run_id[:18], "--lake", lake, "--json").json
    assert (one["run_id"], one["status"], one["succeeded"], one["total"]) == (run_id, "succeeded", 6, 6)
    # In the order in which they were done: quarantine, which no table reads, last.
    assert [step["table"] for step in one["tables"]] == sorted(
        TABLES[:6], key=lambda name: name == "quarantine_car_data"
    )
    said = carlake("runs", "last", "--lake", lake).out
    assert (
        said.startswith(f"Run {run_id}")
        and " succeeded: 6/6 tables succeeded\n" in said
        and f"Written by carlake {VERSION}" in said
    )
    assert {step["version"] for step in one["tables"]} == {VERSION}


def test_a_run_that_left_an_object_in_landing_is_partial_in_its_headline(carlake: Callable, fresh: Path) -> None:
    (fresh / "landing" / "a.json").write_text('{"x": 1}')
    os.mkfifo(fresh / "landing" / "pipe")
    ran = carlake("run", "--lake", fresh)
    assert ran.code == 1 and "Remove it, or put the file itself there: only regular files are taken in." in " ".join(
        ran.out.split()
    )
    said = carlake("runs", "last", "--lake", fresh).out
    assert re.match(r"Run \S+  \S+ \S+  partial: (\d)/\1 tables succeeded\n", said)
    assert carlake("runs", "last", "--lake", fresh, "--json").json["status"] == "partial"


def test_runs_of_an_empty_lake(carlake: Callable, fresh: Path) -> None:
    assert "No run has changed anything yet" in carlake("runs", "--lake", fresh).out
    assert carlake("runs", "--lake", fresh, "--json").json == []


SQL = "SELECT car_chassis, current_mileage_km, event_timestamp FROM gold_car_current_state ORDER BY 1"


def test_query_prints_every_format(carlake: Callable, lake: Path) -> None:
    rows = carlake("query", SQL, "--lake", lake, "--json").json
    assert len(rows) == 5 and isinstance(rows[0]["current_mileage_km"], float)
    assert rows[0]["event_timestamp"].endswith("Z")
    assert rows == carlake("query", "--format", "json", SQL, "--lake", lake).json
    lines = carlake("query", SQL, "--format", "ndjson", "--lake", lake).out.splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = list(csv.DictReader(io.StringIO(carlake("query", SQL, "--format", "csv", "--lake", lake).out)))
    assert [row["car_chassis"] for row in table] == [row["car_chassis"] for row in rows]
    parquet = carlake("query", SQL, "--format", "parquet", "--lake", lake).raw
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 5
    shown = carlake("query", SQL, "--lake", lake).out
    assert shown.splitlines()[0].split() == ["car_chassis", "current_mileage_km", "event_timestamp"]


def test_query_from_a_file_and_standard_input_to_a_file(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    wanted = carlake("query", SQL, "--lake", lake, "--json").json
    (tmp_path / "q.sql").write_text(SQL)
    assert carlake("query", "--file", tmp_path / "q.sql", "--lake", lake, "--json").json == wanted
    assert carlake("query", "-", "--lake", lake, "--json", stdin=SQL).json == wanted
    said = carlake("query", SQL, "-o", tmp_path / "rows.parquet", "--lake", lake)
    assert said.code == 0 and said.out == "" and "5 rows" in said.err
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 5
    missing = carlake("query", "--file", tmp_path / "none.sql", "--lake", lake)
    assert missing.code == 1 and "none.sql" in missing.err


def test_query_reads_the_past(carlake: Callable, lake: Path) -> None:
    sql = "SELECT count(*) AS n FROM silver_car_telemetry"
    assert carlake("query", sql, "--as-of", "2020-01-01", "--lake", lake, "--json").json == [{"n": 0}]
    assert carlake("query", sql, "--as-of", "2999-01-01T00:00", "--lake", lake, "--json").json == [{"n": 60}]
    snapshot = carlake("tables", "silver", "--lake", lake, "--json").json["snapshot_id"]
    assert carlake("query", sql, "--snapshot", snapshot, "--lake", lake, "--json").json == [{"n": 60}]
    assert carlake("query", sql, "--snapshot", 1, "--lake", lake).code == 2


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE silver_car_telemetry", "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT 2", "SELEC 1"],
)
def test_query_may_not_write_or_reach_files(carlake: Callable, lake: Path, sql: str) -> None:
    said = carlake("query", sql, "--lake", lake)
    assert said.code == 1 and said.out == "" and said.err.startswith("Error: ")


def test_query_has_a_time_limit(carlake: Callable, lake: Path) -> None:
    sql = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    said = carlake("query", sql, "--timeout", "0.2", "--lake", lake)
    assert said.code == 1 and "0.2" in said.err


def test_parquet_is_not_for_a_terminal(carlake: Callable, lake: Path) -> None:
    said = carlake("query", SQL, "--format", "parquet", "--lake", lake, terminal=True)
    assert said.code == 2 and "--output" in said.err


def test_trace_follows_a_car_an_event_and_a_file(carlake: Callable, lake: Path) -> None:
    row = carlake(
        "query",
        "SELECT car_chassis, event_id, source_id FROM silver_car_telemetry JOIN (SELECT source_id, source_uri "
        "FROM bronze_car_data) USING (source_id) WHERE contract = 'car_event' LIMIT 1",
        "--lake", lake, "--json",
    ).json[0]  # fmt: skip
    car = carlake("trace", row["car_chassis"], "--lake", lake)
    assert car.code == 0 and car.out.startswith(f"Car {row['car_chassis']}") and "latest events" in car.out
    event = carlake("trace", row["event_id"], "--lake", lake)
    assert event.code == 0 and f"source id {row['source_id']}" in event.out and "now at " in event.out
    document = carlake("trace", row["event_id"], "--lake", lake, "--json").json
    assert document["kind"] == "event" and document["events"][0]["records"][0]["file"]["source_id"] == row["source_id"]
    file = carlake("trace", row["source_id"], "--lake", lake)
    assert file.code == 0 and file.out.startswith("File ") and "records" in file.out


def test_verify_adds_up(carlake: Callable, lake: Path) -> None:
    said = carlake("verify", "--lake", lake)
    assert said.code == 0 and said.out.startswith("Verified.")
    document = carlake("verify", "--lake", lake, "--json").json
    assert document["ok"] is True and document["problems"] == [] and document["pending"] == 1
    assert document["records"] == document["accepted"] + document["quarantined"] + document["duplicates"] == 72
    assert document["files"] == 1


def test_verify_names_what_is_wrong_and_ends_with_1(carlake: Callable, fresh: Path) -> None:
    (fresh / "landing" / "a.json").write_text('{"x": 1}')
    assert carlake("run", "--lake", fresh).code == 0
    stray = fresh / "archive" / "2026-01-01" / ("0" * 64)
    stray.mkdir(parents=True)
    (stray / "lost.json").write_text("{}")
    said = carlake("verify", "--lake", fresh)
    assert said.code == 1 and "1 problem found." in said.out and "lost.json" in said.out
    document = carlake("verify", "--lake", fresh, "--json")
    assert document.code == 1 and document.json["ok"] is False
    assert document.json["problems"][0]["table"] == "bronze_car_data"


@pytest.mark.parametrize("table", ["bronze_car_data", "silver_car_telemetry"])
def test_verify_adds_nothing_up_that_it_could_not_read(carlake: Callable, fresh: Path, table: str) -> None:
    assert carlake("simulate", "--lake", fresh, "--events", 5).code == 0 and carlake("run", "--lake", fresh).code == 0
    for path in (fresh / "warehouse" / "carlake" / table / "data").rglob("*.parquet"):
        path.unlink()
    said = carlake("verify", "--lake", fresh)
    assert said.code == 1 and " accepted + " not in said.out
    counted = re.search(r"^  Records were not counted: (.*) could not be read or judged\.$", said.out, re.MULTILINE)
    assert counted is not None and table in counted[1].split(", ")


def test_a_query_as_of_a_time_before_the_first_snapshot_says_so(carlake: Callable, lake: Path) -> None:
    said = carlake("query", "--as-of", "2020-01-01", "FROM silver_car_telemetry", "--lake", lake, "--format", "csv")
    assert said.code == 0 and len(said.out.splitlines()) == 1
    had = (
        r"Table silver_car_telemetry had no snapshot yet at 2020-01-01T00:00:00\+00:00; its first is of 20\d\d-\S+\.\n"
    )
    assert re.fullmatch(had, said.err)
    assert carlake("query", "FROM silver_car_telemetry", "--lake", lake, "--format", "csv").err == ""


def test_a_copied_lake_is_refused_and_says_what_to_do(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lake, copy)
    said = carlake("run", "--lake", copy)
    assert said.code == 1 and "is a copy of the lake" in said.err and f"--lake {lake}" in said.err


@pytest.mark.parametrize("words", [["status"], ["tables"], ["runs"], ["quarantine"], ["contracts"], ["verify"]])
@pytest.mark.parametrize("width", [80, 120])
def test_no_screen_is_wider_than_the_terminal(
    carlake: Callable, lake: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = carlake(*words, "--lake", lake).out.splitlines()
    # Paths and commands to paste are never broken, however long they are.
    ours = [line for line in lines if str(lake) not in line and "carlake" not in line]
    assert max(map(len, ours)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert not any("…" in line for line in ours if words != ["tables"])


def test_nothing_that_is_shown_can_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from carlake.cli.screen import Column, Screen

    screen = Screen()
    screen.line("a\x1b[2Jb")
    screen.table([Column("title")], [["c\rd"]])
    screen.facts([("label", "e\x07f")])
    assert capsys.readouterr().out == "a\\x1b[2Jb\n  title\n  c\\rd\n  label  e\\x07f\n"


def test_a_damaged_data_file_is_said_with_what_mends_it(carlake: Callable, fresh: Path) -> None:
    assert carlake("simulate", "--lake", fresh, "--events", 5).code == 0 and carlake("run", "--lake", fresh).code == 0
    for path in (fresh / "warehouse" / "carlake" / "gold_car_current_state").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:200])
    asked = carlake("query", "FROM gold_car_current_state", "--lake", fresh)
    assert asked.code == 1 and "is damaged" in asked.err and "carlake doctor" in asked.err and "magic" not in asked.err
    said = carlake("verify", "--lake", fresh)
    assert said.code == 1 and "is damaged" in said.out and "magic" not in said.out
    assert f"carlake doctor --lake {fresh}" in said.out and f"carlake recover --lake {fresh}" in said.out


@pytest.mark.parametrize("width", [40, 60, 79])
def test_a_narrow_screen_cuts_neither_figures_nor_ids(
    carlake: Callable, lake: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    [run] = carlake("runs", "--lake", lake, "--json").json
    tables = carlake("tables", "--lake", lake, "--json").json
    monkeypatch.setenv("COLUMNS", str(width))
    said = {words: carlake(*words.split(), "--lake", lake).out for words in ("status", "tables", "runs", "runs last")}
    for words, text in said.items():
        lists = [line for line in text.splitlines() if line.startswith("  ") and "carlake " not in line]
        assert all(len(line) <= width for line in lists if "last run" not in line), words
        # An ellipsis stands at the beginning of a snapshot's short id alone.
        assert text.count("…") == len(re.findall(r"…\d{7}\b", text)), words
    assert run["run_id"] in said["runs"]
    for table in tables:
        assert all(table["table"] in said[words] for words in ("status", "tables"))
    assert f"…{str(tables[1]['snapshot_id'])[-7:]}" in said["tables"]
    if width == 60:
        assert "Too narrow for: defined, day." in said["tables"] and "Too narrow" not in said["status"]


def test_the_trace_of_a_file_names_cars_and_counts_what_it_leaves_out(carlake: Callable, fresh: Path) -> None:
    assert carlake("simulate", "--lake", fresh, "--events", 300, "--cars", 30, "--files", 1).code == 0
    [landed] = [path for path in (fresh / "landing").iterdir() if path.is_file()]
    assert carlake("run", "--lake", fresh).code == 0
    found = carlake("trace", landed.name, "--lake", fresh, "--json").json
    said = carlake("trace", landed.name, "--lake", fresh).out
    alerts = [row["values"] for row in found["gold"] if row["table"] == "gold_performance_alerts_log"]
    assert f"    {alerts[0]['car_chassis']} event {alerts[0]['event_id']}: {alerts[0]['alert_type']}" in said
    states = [row["values"] for row in found["gold"] if row["table"] == "gold_car_current_state"]
    assert all(f"    {state['car_chassis']}: " in said for state in states)
    assert f"    and {found['counts']['cars'] - 10} more: --json has the first 10\n" in said
    assert f"    and {found['counts']['alerts'] - 10} more: --json has the first {len(alerts)}\n" in said
    assert f"  and {found['counts']['records'] - 20} more: --json has the first 100\n" in said
    listed = said.split("\nrecords\n")[1]
    assert all(record["car_chassis"] in listed for record in found["records"][:20] if record["car_chassis"])


def test_a_name_that_is_nearly_a_tables(carlake: Callable, lake: Path) -> None:
    said = carlake("tables", "alertz", "--lake", lake)
    assert said.code != 0 and "Did you mean gold_performance_alerts_log?" in said.err
    said = carlake("tables", "gold", "--lake", lake)
    assert "It could be gold_car_current_state, " in said.err and said.err.count("gold_car_current_state") == 1
    assert "silver" not in said.err


def test_an_ending_that_names_no_format_is_wrong_usage(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    odd = tmp_path / "x.foo"
    said = carlake("query", "SELECT 1 AS a", "-o", odd, "--lake", lake)
    assert said.code == 2 and ".foo" in said.err and ".parquet" in said.err and not odd.exists()
    said = carlake("query", "SELECT 1 AS a", "-o", odd, "--format", "csv", "--lake", lake)
    assert said.code == 0 and odd.read_text().split() == ["a", "1"] and said.err.startswith("1 row in ")
