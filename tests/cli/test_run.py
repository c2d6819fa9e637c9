"""run and rebuild: what they print, what they leave alone, how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.command_line import Said, event


def land(folder: Path, *records: dict[str, Any], name: str = "events.ndjson") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def snapshots(carlake: Callable[..., Said], lake: Path) -> list[Any]:
    return [table["snapshot_id"] for table in carlake("tables", "--lake", lake, "--json").json]


def test_run_takes_in_what_lies_in_landing_and_archives_it(carlake: Callable, fresh: Path) -> None:
    path = land(fresh / "landing", event(1), event(2), {"x": 1})
    said = carlake("run", "--lake", fresh)
    assert said.code == 0
    assert "1 file, 3 records: 2 accepted, 1 quarantined, 0 duplicates" in said.out
    assert f"carlake quarantine --lake {fresh}" in said.out
    assert not path.exists() and len(list((fresh / "archive").rglob("events.ndjson"))) == 1
    before = snapshots(carlake, fresh)
    again = carlake("run", "--lake", fresh)
    assert again.code == 0 and "Nothing to do" in again.out
    assert snapshots(carlake, fresh) == before


def test_run_as_json(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    path = land(tmp_path / "in", event(1), event(1), event(2), {"x": 1})
    said = carlake("run", path, "--lake", fresh, "--json")
    document = said.json
    assert said.code == 0 and said.err == ""
    counts = ("files", "records", "accepted", "quarantined", "duplicates")
    assert [document[name] for name in counts] == [1, 4, 2, 1, 1]
    assert document["status"] == "succeeded" and document["problems"] == [] and document["seconds"] > 0
    assert document["run_id"] == carlake("runs", "last", "--lake", fresh, "--json").json["run_id"]
    for step in document["tables"]:
        assert {"table", "rows_in", "rows_out", "snapshot_id", "status", "seconds", "error"} <= set(step)
    rows = {step["table"]: step["rows_out"] for step in document["tables"]}
    assert rows["bronze_car_data"] == 4 and rows["silver_car_telemetry"] == 2 and rows["gold_car_current_state"] == 1
    assert path.exists(), "paths that are named are left where they are"


def test_run_with_paths_makes_the_lake_and_says_so(carlake: Callable, tmp_path: Path) -> None:
    land(tmp_path / "in", event(1))
    lake = tmp_path / "new lake"
    said = carlake("run", tmp_path / "in", "--lake", lake)
    assert said.code == 0
    assert said.out.startswith(f"Made a lake at {lake}\n")
    assert carlake("query", "SELECT count(*) AS n FROM silver_car_telemetry", "--lake", lake, "--json").json == [
        {"n": 1}
    ]


def test_run_without_paths_makes_no_lake_of_a_mistyped_name(carlake: Callable, tmp_path: Path) -> None:
    said = carlake("run", "--lake", tmp_path / "typo")
    assert said.code == 1 and "carlake init" in said.err
    assert not (tmp_path / "typo").exists()


def test_dry_run_changes_nothing(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    path = land(fresh / "landing", event(1))
    said = carlake("run", "--lake", fresh, "--dry-run")
    assert said.code == 0 and "take in 1 object" in said.out
    document = carlake("run", "--lake", fresh, "--dry-run", "--json").json
    assert document["dry_run"] is True and document["files"] == 1
    assert path.exists() and snapshots(carlake, fresh) == [None] * 8
    new = carlake("run", path, "--lake", tmp_path / "new", "--dry-run")
    assert new.code == 0 and "A lake would be made" in new.out and not (tmp_path / "new").exists()


def test_an_object_that_cannot_be_read_makes_the_run_partial_by_name(carlake: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    land(folder, event(1))
    os.mkfifo(folder / "pipe")
    said = carlake("run", folder, "--lake", tmp_path / "lake")
    assert said.code == 1
    assert "partial" in said.out and f"{folder / 'pipe'} is a pipe" in said.out
    document = carlake("run", folder, "--lake", tmp_path / "lake", "--json")
    assert document.code == 1 and document.json["status"] == "partial"
    assert [problem["uri"] for problem in document.json["problems"]] == [str(folder / "pipe")]


def test_a_file_name_cannot_fake_a_line(carlake: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    land(folder, event(1))
    os.mkfifo(folder / "a\nRun succeeded \x1b[2J")
    said = carlake("run", folder, "--lake", tmp_path / "lake")
    assert said.code == 1
    assert "\x1b" not in said.out and "a\\nRun succeeded \\x1b[2J is a pipe" in said.out


def test_today_is_a_parameter(carlake: Callable, fresh: Path) -> None:
    land(fresh / "landing", {**event(1), "event_id": "e1"})
    old = {
        "carChassis": "CAR9",
        "metrics": {"metricTimestamp": "Wed, 29 Oct 2025 11:00:00"},
        "carInsurance": {"number": "1", "provider": "P", "validUntil": "2027-01-31"},
    }
    land(fresh / "landing", old, name="old.json")
    sql = "SELECT insurance_status, insurance_days_expired FROM gold_car_current_state WHERE car_chassis = 'CAR9'"
    assert carlake("run", "--lake", fresh, "--today", "2026-12-01").code == 0
    row = carlake("query", sql, "--lake", fresh, "--json").json
    assert row == [{"insurance_status": "EXPIRING_IN_90_DAYS", "insurance_days_expired": None}]
    ran = carlake("run", "--lake", fresh, "--today", "2027-02-02", "--json").json
    assert {step["table"] for step in ran["tables"] if step["status"] == "succeeded"} == {"gold_car_current_state"}
    row = carlake("query", sql, "--lake", fresh, "--json").json
    assert row == [{"insurance_status": "EXPIRED", "insurance_days_expired": 2}]


def test_a_changed_rule_waits_for_rebuild(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    land(fresh / "landing", event(1), event(2))
    assert carlake("run", "--lake", fresh).code == 0
    (tmp_path / "rules.yaml").write_text("rules:\n  LOW_FUEL:\n    below: {WARNING: 50}\n")
    settings = tmp_path / "settings.toml"
    settings.write_text('rules = ["rules.yaml"]\n')
    at = ("--lake", fresh, "--settings", settings)

    partial = carlake("run", *at)
    assert partial.code == 1 and "LEFT ALONE" in partial.out and "carlake rebuild" in partial.out
    status = carlake("status", *at)
    assert "gold_performance_alerts_log" in status.out.split("definitions")[1].splitlines()[0]
    assert f"carlake rebuild --dry-run --lake {fresh} --settings {settings}" in status.out

    before = snapshots(carlake, fresh)
    plan = carlake("rebuild", "--dry-run", *at)
    assert plan.code == 0 and "its definition changed: " in plan.out
    assert snapshots(carlake, fresh) == before
    document = carlake("rebuild", "--json", *at).json
    assert document["status"] == "succeeded"
    sql = "SELECT count(*) AS n FROM gold_performance_alerts_log WHERE alert_type = 'LOW_FUEL'"
    assert carlake("query", sql, "--json", *at).json == [{"n": 2}]
    assert carlake("run", *at).code == 0


def test_rebuild_of_one_table_leaves_the_others(carlake: Callable, fresh: Path) -> None:
    land(fresh / "landing", event(1))
    assert carlake("run", "--lake", fresh).code == 0
    plan = carlake("rebuild", "alerts", "--dry-run", "--lake", fresh, "--json").json
    assert [step["table"] for step in plan["tables"]] == ["gold_performance_alerts_log"]


def test_a_path_that_holds_nothing_is_told(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "_SUCCESS").touch()
    said = carlake("run", empty, "--lake", lake)
    assert said.code == 0 and f"{empty} holds no object" in " ".join(said.out.split())
    assert carlake("run", empty, "--lake", lake, "--json").json["notes"][0].startswith(f"{empty} holds no object")
    for where in (lake, tmp_path / "new"):
        plan = carlake("run", empty, "--lake", where, "--dry-run")
        assert plan.code == 0 and f"{empty} holds no object" in " ".join(plan.out.split())
        noted = carlake("run", empty, "--lake", where, "--dry-run", "--json").json["notes"]
        assert noted[0].startswith(f"{empty} holds no object")


def test_a_dry_run_refuses_where_a_run_would(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    for dry in ((), ("--dry-run",)):
        said = carlake("run", tmp_path, "--lake", fresh / "lake", *dry)
        assert said.code == 1 and "lies inside the lake at" in said.err
