"""rollback, resume, rebuild of named tables, query as of a run: what they print, ask and refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.command_line import Said, event
from tests.cli.test_run import land, snapshots

HELD = 5


@pytest.fixture
def runs(carlake: Callable[..., Said], fresh: Path) -> list[str]:
    """The ids of two runs, one event each."""
    found = []
    for number in (1, 2):
        land(fresh / "landing", event(number))
        found.append(str(carlake("run", "--lake", fresh, "--json").json["run_id"]))
    return found


def test_a_rollback_is_planned_asked_for_and_done(carlake: Callable[..., Said], fresh: Path, runs: list[str]) -> None:
    before = snapshots(carlake, fresh)
    plan = carlake("rollback", "last", "--dry-run", "--lake", fresh)
    assert plan.code == 0 and "nothing is changed" in plan.out and runs[1] in plan.out
    document = carlake("rollback", runs[0], "--dry-run", "--lake", fresh, "--json").json
    assert [undone["run_id"] for undone in document["undoes"]] == runs and not document["done"]
    unasked = carlake("rollback", "last", "--lake", fresh)
    assert unasked.code == 2 and "--yes" in unasked.err
    assert snapshots(carlake, fresh) == before, "neither has changed anything"

    said = carlake("rollback", runs[1], "--yes", "--lake", fresh)
    assert said.code == 0 and "Rolled back to before" in said.out and f"carlake resume --lake {fresh}" in said.out
    assert carlake("query", "SELECT count(*) AS n FROM silver_car_telemetry", "--lake", fresh, "--json").json == [
        {"n": 1}
    ]
    again = carlake("rollback", runs[1], "--lake", fresh, "--json")
    assert again.code == 0 and again.json["done"] and again.json["undoes"] == []


def test_held_tables_are_said_and_are_no_failure(carlake: Callable[..., Said], fresh: Path, runs: list[str]) -> None:
    assert carlake("rollback", "last", "--yes", "--lake", fresh).code == 0
    land(fresh / "landing", event(3))
    run = carlake("run", "--lake", fresh)
    assert run.code == 0 and "succeeded" in run.out and "5 tables held since" in run.out
    assert f"carlake resume --lake {fresh}" in run.out
    document = carlake("run", "--lake", fresh, "--json").json
    held = [step for step in document["tables"] if step["status"] == "held"]
    assert len(held) == HELD and {step["held"]["before_run"] for step in held} == {runs[1]}
    for words in (("status",), ("tables",), ("tables", "silver")):
        said = carlake(*words, "--lake", fresh)
        assert "held" in said.out and "carlake resume" in said.out and runs[1] in said.out, words
    tables = carlake("tables", "--lake", fresh, "--json").json
    assert sum(1 for table in tables if table["held"]) == HELD
    held = carlake("run", "--dry-run", "--lake", fresh).out
    # The lake's path may be longer than a line.
    assert "nothing: held since" in held and f"carlakeresume--lake{fresh}" in "".join(held.split())
    assert carlake("rebuild", "--all", "--lake", fresh).code == 0
    assert carlake("verify", "--lake", fresh).code == 0

    look = carlake("resume", "--dry-run", "--lake", fresh, "--json").json
    assert len(look["held"]) == HELD and look["resumed"] == []
    said = carlake("resume", "--lake", fresh)
    assert said.code == 0 and "Resumed." in said.out
    assert "No table is held" in carlake("resume", "--lake", fresh).out
    assert carlake("resume", "--lake", fresh, "--json").json == {"dry_run": False, "resumed": [], "held": []}
    assert carlake("run", "--lake", fresh).code == 0
    assert carlake("query", "SELECT count(*) AS n FROM silver_car_telemetry", "--lake", fresh, "--json").json == [
        {"n": 3}
    ]
    listed = {row["run_id"]: row["trigger"] for row in carlake("runs", "--lake", fresh, "--json").json}
    assert {"rollback", "resume", "run"} == set(listed.values())


def test_a_query_as_of_a_run(carlake: Callable[..., Said], fresh: Path, runs: list[str]) -> None:
    sql = "SELECT (SELECT count(*) FROM silver_car_telemetry) AS s, (SELECT count(*) FROM bronze_car_data) AS b"
    then = carlake("query", sql, "--as-of-run", runs[0], "--lake", fresh, "--json").json
    assert then == [{"s": 1, "b": 1}]
    assert carlake("query", sql, "--as-of-run", "last", "--lake", fresh, "--json").json == [{"s": 2, "b": 2}]
    both = carlake("query", sql, "--as-of-run", runs[0], "--as-of", "2025-01-01", "--lake", fresh)
    assert both.code == 2 and "--as-of-run" in both.err
    unknown = carlake("query", sql, "--as-of-run", "x", "--lake", fresh)
    assert unknown.code == 2 and "carlake runs" in unknown.err


def test_a_run_that_is_not_known_is_wrong_usage(carlake: Callable[..., Said], fresh: Path, runs: list[str]) -> None:
    said = carlake("rollback", "nobody", "--yes", "--lake", fresh)
    assert said.code == 2 and runs[1] in said.err
    assert carlake("rollback", "--lake", fresh).code == 2


def test_tables_are_rebuilt_by_name_and_bronze_from_the_archive(
    carlake: Callable[..., Said], fresh: Path, runs: list[str]
) -> None:
    before = snapshots(carlake, fresh)
    plan = carlake("rebuild", "alerts", "--dry-run", "--lake", fresh)
    assert plan.code == 0 and "refresh all of it, for it was asked for" in plan.out
    plan = carlake("rebuild", "--all", "--from", "archive", "--dry-run", "--lake", fresh, "--json").json
    assert plan["archive"] == {"again": 2, "missing": 0, "notes": []}
    assert "read 2 objects again" in carlake("rebuild", "--all", "--from", "archive", "--dry-run", "--lake", fresh).out
    assert snapshots(carlake, fresh) == before
    done = carlake("rebuild", "--all", "--from", "archive", "--lake", fresh, "--json").json
    assert [step["status"] for step in done["tables"]] == ["succeeded"] * 6 and done["notes"] == []
    assert carlake("verify", "--lake", fresh).code == 0
    for words, told in (
        (("bronze",), "--from archive"),
        (("silver", "--from", "archive"), "--all --from archive"),
        (("ops_runs",), "made from no other"),
    ):
        assert told in carlake("rebuild", *words, "--lake", fresh).err
    assert carlake("rebuild", "--from", "moon", "--lake", fresh).code == 2
    assert carlake("rebuild", "silver", "--all", "--lake", fresh).code == 2
