"""Wrong usage: exit code 2, the nearest name, one line of advice, no stack trace; and where options may stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


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
