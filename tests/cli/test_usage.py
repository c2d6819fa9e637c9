"""Wrong usage: exit code 2, the nearest name, one line of advice, no stack trace; and where options may stand."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from carlake.cli.invocation import Invocation, Shared


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("rum", "There is no command rum. Did you mean run?"),
        ("contracts chek", "There is no command chek. Did you mean check?"),
        ("run --dryrun", "There is no option --dryrun. Did you mean --dry-run?"),
        ("status --jsn", "There is no option --jsn. Did you mean --json?"),
        ("tables gold_car_curent_state", "There is no table 'gold_car_curent_state'."),
        ("query SELECT_1_FROM_golds", "There is no"),
        ("contracts show car_evnt", "There is no contract 'car_evnt'."),
        ("connect spork", "spork"),
        (
            "connect",
            "Name the tool that shall read the tables: pyiceberg, pandas, polars, duckdb, spark, trino or athena.",
        ),
        ("run no/such/file", "no/such/file"),
        ("runs nope", "There is no run 'nope'."),
        ("trace nope", "nope"),
        ("quarantine list --reason bad_typ", "bad_typ"),
        ("rebuild golds", "There is no table 'golds'."),
        ("run --today 2026-13-01", "'2026-13-01' is not a day"),
        ("query --as-of yesterday SELECT", "'yesterday' is not a time"),
        ("query --format cvs SELECT", "Did you mean csv?"),
        ("query --format csv --json SELECT", "--format csv"),
        ("query --timeout 0 SELECT", "--timeout 0"),
        ("query --snapshot 1 --as-of 2026-01-01 SELECT", "give one"),
        ("query", "Give one SELECT"),
        ("simulate --format ndjso", "Did you mean ndjson?"),
        ("simulate --format parquet --compress gzip", "cannot be compressed"),
        ("simulate --events -4", "--events"),
        ("simulate --flat 0.8 --snapshot 0.8", "together more than 1"),
        ("trace", "Missing argument"),
        ("--json", "Missing command"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_and_what_to_do(
    carlake: Callable, lake: Path, words: str, what: str
) -> None:
    said = carlake("--lake", lake, *(word.replace("_1_FROM_", " 1 FROM ") for word in words.split()))
    assert said.code == 2
    assert said.err.startswith("Error: ") and what in said.err
    assert "\n  " in said.err, "no advice"


def test_a_group_that_needs_a_command_shows_its_help_and_no_error(carlake: Callable) -> None:
    said, help_page = carlake("deploy", terminal=True), carlake("deploy", "--help")
    assert (said.code, said.out) == (2, "")
    assert said.err == help_page.out and help_page.code == 0
    told = carlake("deploy", "--json")
    assert told.code == 2 and told.json["error"]["what"] == "Missing command."


def test_the_nearest_table_column_and_contract_are_named(carlake: Callable, lake: Path) -> None:
    at = ("--lake", lake)
    assert "gold_car_current_state" in carlake("tables", "gold_car_curent_state", *at).err
    assert "car_event" in carlake("contracts", "show", "car_evnt", *at).err
    column = carlake("query", "SELECT currentMileage FROM silver_car_telemetry", *at)
    assert column.code == 2 and "current_mileage_km" in column.err
    table = carlake("query", "SELECT * FROM performance_alerts_log_slim", *at)
    assert table.code == 2 and "gold_performance_alerts_log" in table.err


def test_with_json_an_error_is_one_document_too(carlake: Callable, tmp_path: Path) -> None:
    missing = carlake("status", "--lake", tmp_path / "none", "--json")
    assert missing.code == 1
    assert missing.json["error"]["what"] == f"There is no lake at {tmp_path / 'none'}."
    assert "carlake init" in missing.json["error"]["advice"]
    assert missing.err.startswith("Error: There is no lake")
    usage = carlake("rum", "--json")
    assert usage.code == 2 and usage.json["error"]["what"] == "There is no command rum. Did you mean run?"


def test_shared_options_stand_before_and_after_the_command(carlake: Callable, lake: Path) -> None:
    wanted = carlake("tables", "--lake", lake, "--json").json
    assert carlake("--lake", lake, "--json", "tables").json == wanted
    assert carlake("--json", "tables", "--lake", lake).json == wanted
    # The one further to the right wins.
    assert carlake("--lake", "elsewhere", "--json", "tables", "--lake", lake).json == wanted
    one = carlake("tables", "alerts", "--json", "--lake", lake).json
    assert carlake("tables", "--json", "--lake", lake, "alerts").json == one
    assert (
        carlake("--lake", lake, "quarantine", "--json", "reasons").json
        == carlake("quarantine", "reasons", "--json", "--lake", lake).json
    )


def test_environment_names_lake_and_settings(
    carlake: Callable, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARLAKE_LAKE", str(lake))
    assert carlake("status", "--json").json["lake"] == str(lake)
    assert carlake("status", "--lake", tmp_path / "none").code == 1
    settings = tmp_path / "settings.toml"
    settings.write_text("no_such_key = 1\n")
    monkeypatch.setenv("CARLAKE_SETTINGS", str(settings))
    said = carlake("status")
    assert said.code == 1 and f"{settings}:1" in said.err


def test_a_mistake_in_a_contract_is_told_with_its_line(carlake: Callable, tmp_path: Path) -> None:
    contract = tmp_path / "mine.yaml"
    contract.write_text("contract: mine\nversion: 1\ndescription: mine\nrecognised_by: [[a]]\nfields: {colour: a}\n")
    settings = tmp_path / "settings.toml"
    settings.write_text('contracts = ["mine.yaml"]\n')
    said = carlake("contracts", "list", "--settings", settings)
    assert said.code == 1
    assert "mine.yaml:5" in said.err or "line 5" in said.err


def test_debug_shows_where_an_error_arose(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from carlake.cli.app import call

    assert call(["status", "--lake", str(tmp_path / "none"), "--debug"]) == 1
    shown = capfd.readouterr()
    assert "Traceback" in shown.err and "LakeError" in shown.err


def test_a_command_that_an_error_names_is_for_this_lake(
    carlake: Callable, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted as it is, it must not reach another lake."""
    (fresh / "warehouse" / "table").mkdir()
    (fresh / "catalog.db").unlink(missing_ok=True)
    spaced = tmp_path / "a link"
    spaced.symlink_to(fresh)
    for given in (fresh, spaced):
        for said in (carlake("status", "--lake", given), carlake("--lake", given, "status")):
            assert said.code == 1 and said.err.endswith(f": carlake recover --lake {shlex.quote(str(given))}\n")
    monkeypatch.chdir(tmp_path)
    assert carlake("status").err.endswith(": carlake recover\n")


def test_commands_in_an_advice() -> None:
    here = Invocation(Shared(lake="wl/lake")).on_this_lake
    assert here("Use `carlake doctor`, or `carlake resume x`.") == (
        "Use `carlake doctor --lake wl/lake`, or `carlake resume x --lake wl/lake`."
    )
    assert here("Do it: carlake recover.\nOr: carlake run") == (
        "Do it: carlake recover --lake wl/lake\nOr: carlake run --lake wl/lake"
    )
    for text in ("Make one: carlake init --lake other", "carlake is well", ""):
        assert here(text) == text
    assert Invocation(Shared(lake="./lake")).on_this_lake("`carlake run`") == "`carlake run`"


def test_a_file_that_cannot_be_had_is_said_with_what_to_do(carlake: Callable, lake: Path, tmp_path: Path) -> None:
    at = ("--lake", lake)
    calls = {
        "Check the path": carlake("query", "--file", tmp_path / "no.sql", *at),
        f"make the folder {tmp_path / 'no'} first": carlake("query", "SELECT 1", "-o", tmp_path / "no" / "x.csv", *at),
        "or give another": carlake("quarantine", "export", "/proc/x", *at),
    }
    for advice, said in calls.items():
        assert said.code == 1 and advice in said.err and "--debug" not in said.err


def test_recover_names_the_lake_that_is_meant(carlake: Callable, fresh: Path) -> None:
    said = carlake("recover", "--lake", fresh.with_name("lakee"))
    assert said.code == 1 and f"Did you mean {fresh}?" in said.err
