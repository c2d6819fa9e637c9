"""init, simulate, demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_init_makes_a_lake_and_a_second_time_leaves_it(carlake: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    made = carlake("init", folder)
    assert made.code == 0
    assert f"Made a lake at {folder}" in made.out and f"carlake run --lake {folder}" in made.out
    assert {path.name for path in folder.iterdir()} >= {"landing", "archive", "warehouse", "carlake.toml"}
    toml = (folder / "carlake.toml").read_bytes()
    again = carlake("init", "--lake", folder)
    assert again.code == 0 and "nothing was changed" in again.out
    assert (folder / "carlake.toml").read_bytes() == toml
    document = carlake("init", folder, "--json").json
    assert document["lake"] == str(folder) and document["created"] is False


def test_init_refuses_a_folder_with_other_files(carlake: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    said = carlake("init", tmp_path)
    assert said.code == 1 and str(tmp_path) in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_simulate_says_what_it_wrote_and_the_run_finds_exactly_that(carlake: Callable, fresh: Path) -> None:
    words = ("--events", 30, "--cars", 3, "--bad", 0.1, "--duplicates", 0.2, "--seed", 3, "--files", 2)
    wrote = carlake("simulate", "--lake", fresh, *words, "--json").json
    assert wrote["files"] == len(wrote["paths"]) == 2 and wrote["events"] == 30
    assert all(Path(path).parent == fresh / "landing" and Path(path).exists() for path in wrote["paths"])
    ran = carlake("run", "--lake", fresh, "--json").json
    assert (ran["records"], ran["accepted"], ran["duplicates"], ran["quarantined"]) == (
        wrote["records"],
        wrote["events"],
        wrote["duplicates"],
        sum(wrote["bad"].values()),
    )


def test_simulate_writes_to_any_folder_without_a_lake(carlake: Callable, tmp_path: Path) -> None:
    target = tmp_path / "out"
    said = carlake("simulate", target, "--events", 5, "--format", "json", "--start", "2026-01-01")
    assert said.code == 0 and f"carlake run {target}" in said.out
    first = json.loads(sorted(target.iterdir())[0].read_text())
    assert first["event_primary_timestamp"].startswith("2026-01")
    assert carlake("simulate", "--lake", tmp_path / "none").code == 1


def test_demo_shows_the_three_tables_and_proves_them(
    carlake: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    monkeypatch.setenv("COLUMNS", "80")
    said = carlake("demo", folder, "--events", 60)
    assert said.code == 0, said.out + said.err
    for shown in (
        *("gold_car_current_state", "gold_fuel_efficiency_monthly", "gold_performance_alerts_log"),
        *("Quarantine", "that were spoilt", "Verified.", "Try next", f"carlake status --lake {folder}"),
    ):
        assert shown in said.out
    assert max(len(line) for line in said.out.splitlines() if str(folder) not in line) <= 80
    before = carlake("tables", "--lake", folder, "--json").json

    again = carlake("demo", folder, "--events", 60)
    assert again.code == 0 and "every one was known" in again.out
    after = carlake("tables", "--lake", folder, "--json").json
    assert [table["rows"] for table in after[:-1]] == [table["rows"] for table in before[:-1]]


def test_demo_takes_no_folder_of_somebody_else(carlake: Callable, fresh: Path, tmp_path: Path) -> None:
    (fresh / "landing" / "mine.json").write_text("{}")
    said = carlake("demo", fresh)
    assert said.code == 1 and "not the demo's" in said.err
    assert (fresh / "landing" / "mine.json").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    assert carlake("demo", other, "--new", "--yes").code == 1
    assert (other / "mine.txt").read_text() == "mine"


def test_demo_removes_its_lake_only_when_told_yes(carlake: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / ".carlake").mkdir(parents=True)
    (folder / ".carlake" / "demo.json").write_text('{"start": "2026-01-01"}')
    (folder / "left.txt").write_text("left")
    said = carlake("demo", folder, "--new", stdin="n\n")
    assert said.code == 1 and "Nothing was changed" in said.err
    assert (folder / "left.txt").exists()


@pytest.mark.parametrize("number", ["0", "x"])
def test_demo_wants_at_least_one_event(carlake: Callable, tmp_path: Path, number: str) -> None:
    assert carlake("demo", tmp_path / "demo", "--events", number).code == 2
    assert not (tmp_path / "demo").exists()


def test_simulate_writes_where_the_run_looks_or_not_at_all(
    carlake: Callable, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARLAKE_LANDING", "s3://bucket/in")
    said = carlake("simulate", "--lake", fresh, "--events", 3)
    assert said.code == 1 and "s3://bucket/in, lies in an object store" in said.err and "simulate FOLDER" in said.err
    assert not list((fresh / "landing").iterdir())
    given = carlake("simulate", tmp_path / "in", "--lake", fresh, "--events", 3)
    assert given.code == 0 and list((tmp_path / "in").iterdir())


def test_init_names_no_catalog_of_its_own_beside_another_and_reads_the_settings_first(
    carlake: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = carlake("init", tmp_path / "a", "--settings", tmp_path / "none.toml")
    assert missing.code == 1 and "none.toml cannot be read" in missing.err
    assert not (tmp_path / "a").exists()
    assert "catalog.db" in carlake("init", tmp_path / "b").out
    monkeypatch.setenv("CARLAKE_CATALOG", "postgres")
    monkeypatch.setenv("CARLAKE_CATALOG_URI", "postgresql://nobody@127.0.0.1:9/none")
    assert "catalog.db" not in carlake("init", tmp_path / "c").out
