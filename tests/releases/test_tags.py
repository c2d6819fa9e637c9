"""Releases: tags that fit together, are few, and that any engine can read."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carlake.errors import NotFoundError, SettingsError
from carlake.lakehouse import Lakehouse
from carlake.refresh.history import TAG, histories
from carlake.refresh.releases import Release, to_keep, whole_releases
from carlake.settings import Settings
from lakes import BRONZE, OPS_RUNS, SILVER, STATE, iceberg, lakehouse, nested, put, rows_of
from releases.work import run_and_die, run_until

from .conftest import DERIVED, MORE, RUNS, Ran, state
from .test_crash import killed

FLOW = (BRONZE, *DERIVED)


def releases(house: Lakehouse) -> list[Release]:
    """The releases that are whole, newest first."""
    return whole_releases(histories(house.declared, house.context(trigger="look").peek), house.declared)


def as_of_run(house: Lakehouse, run: str) -> dict[str, list[tuple[object, ...]]]:
    """Keys of every table at the end of a run, in key order."""
    found = {}
    for name in FLOW:
        keys = ", ".join(house.declared[name].key)
        table = house.query(f"SELECT {keys} FROM {name} ORDER BY ALL", as_of_run=run)
        found[name] = [tuple(row.values()) for row in table.to_pylist()]
    return found


def keys_of(house: Lakehouse, name: str) -> list[tuple[object, ...]]:
    """The same of a table now."""
    return sorted(tuple(row[key] for key in house.declared[name].key) for row in rows_of(house, name))


def test_every_run_is_a_release_of_snapshots_that_fit(ran: Ran) -> None:
    assert [release.run for release in releases(ran.house)] == ran.runs[::-1]
    for number, run in enumerate(ran.runs):
        found = as_of_run(ran.house, run)
        assert {name: len(found[name]) for name in DERIVED} == {
            name: len(rows) for name, rows in ran.states[number + 1].items()
        }
        assert len(found[BRONZE]) == sum(len(records) for records in RUNS[: number + 1])
    # No commit was made for it alone: each table's metadata has changed as often as it has snapshots.
    for name in FLOW:
        table = iceberg(ran.house, name)
        assert len(table.metadata.metadata_log) == len(table.metadata.snapshots) == len(RUNS)
    assert [ref for ref in iceberg(ran.house, OPS_RUNS).metadata.refs if ref.startswith(TAG)] == []


def test_a_run_is_read_without_its_tag_too(ran: Ran) -> None:
    tagged = [as_of_run(ran.house, run) for run in ran.runs]
    for name in FLOW:
        manage = iceberg(ran.house, name).manage_snapshots()
        for run in ran.runs:
            manage = manage.remove_tag(TAG + run)
        manage.commit()
    assert releases(ran.house) == []
    assert [as_of_run(ran.house, run) for run in ran.runs] == tagged
    assert as_of_run(ran.house, "last") == tagged[-1]


def test_a_run_that_is_not_kept_is_refused(ran: Ran) -> None:
    with pytest.raises(NotFoundError, match="made by a run 'nobody'"):
        ran.house.query("SELECT 1", as_of_run="nobody")
    with pytest.raises(NotFoundError, match="runs begin with"):
        ran.house.query("SELECT 1", as_of_run="2025")
    assert ran.house.release(ran.runs[0][:-1]) == ran.house.release(ran.runs[0])


def test_connect_names_a_release_that_is_kept(ran: Ran) -> None:
    assert ran.house.connect("spark").release == ran.runs[-1]
    for run in (ran.runs[1], ran.runs[1][:-1]):
        connection = ran.house.connect("trino", as_of_run=run)
        assert connection.release == ran.runs[1]
        assert f"FOR VERSION AS OF '{TAG}{ran.runs[1]}'" in connection.text
    with pytest.raises(NotFoundError, match="No release that is kept is of a run 'nobody'") as error:
        ran.house.connect("spark", as_of_run="nobody")
    assert ran.runs[-1] in error.value.advice
    with pytest.raises(NotFoundError, match="Several releases are of a run '2025'"):
        ran.house.connect("spark", as_of_run="2025")


def release(run: str, at: datetime) -> Release:
    return Release(run, {}, at)


def test_the_newest_are_kept_and_the_last_of_each_day() -> None:
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    found = [release(f"d{day}-{hour}", noon - timedelta(days=day, hours=hour)) for day in range(10) for hour in (0, 1)]
    newest = {"d0-0", "d0-1", "d1-0"}
    assert to_keep(found, 3, 0) == newest
    assert to_keep(found, 3, 7) == newest | {f"d{day}-0" for day in range(7)}
    assert to_keep(found, 0, 1) == {"d0-0"}
    assert to_keep([], 3, 7) == set()


def test_older_tags_go_with_the_commits_of_later_runs(small_folder: Path) -> None:
    settings = Settings(threads=1, releases_kept=3, releases_days=0)
    runs = []
    for number in range(6):
        # Each in a process of its own, as `carlake run` is.
        with lakehouse(small_folder / "lake", settings) as house:
            record = nested("A", f"e{number}", "2025-10-01T00:00:00Z", engine_temp_celsius=130)
            runs.append(house.run([str(put(small_folder / f"{number}.json", record))]).run_id)
    with lakehouse(small_folder / "lake", settings) as house:
        # The newest run found four, of which one was too old; its own is the fourth until the next.
        assert [release.run for release in releases(house)] == runs[:1:-1]
        for name in FLOW:
            table = iceberg(house, name)
            assert set(table.metadata.refs) == {"main", *(TAG + run for run in runs[2:])}
            assert len(table.metadata.metadata_log) == len(table.metadata.snapshots), "no commit of tags alone"


def test_a_process_that_never_rests_keeps_few(small_folder: Path) -> None:
    settings = Settings(threads=1, releases_kept=2, releases_days=0)
    with lakehouse(small_folder / "lake", settings) as house:
        for number in range(13):
            house.run([str(put(small_folder / f"{number}.json", nested("A", f"e{number}", "2025-10-01T00:00:00Z")))])
        # After ten runs it is looked which are too old; the eleventh takes their tags along.
        assert len(iceberg(house, SILVER).metadata.refs) == 1 + 2 + 3


def test_releases_can_be_switched_off(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, releases_kept=0)) as house:
        run = house.run([str(put(small_folder / "a.json", *RUNS[0]))]).run_id
    with lakehouse(small_folder / "lake") as house:
        assert set(iceberg(house, SILVER).metadata.refs) == {"main"}
        assert len(as_of_run(house, run)[SILVER]) == 2, "its snapshots are there all the same"
    with pytest.raises(SettingsError):
        Settings(releases_kept=-1)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_what_a_crash_leaves_is_no_release(ran: Ran, tmp_path: Path, number: int) -> None:
    path = str(put(tmp_path / "more.json", *MORE))
    killed(run_and_die, str(ran.house.lake.root), [path], number)
    found = [release.run for release in releases(ran.house)]
    assert found[-len(ran.runs) :] == ran.runs[::-1]
    # All tables were committed before the last kill, and so tagged: that is a release.
    assert len(found) == len(ran.runs) + (number == len(FLOW))
    # Whether or not: what is read as of the last whole run fits together.
    assert {name: len(rows) for name, rows in as_of_run(ran.house, ran.runs[-1]).items() if name != BRONZE} == {
        name: len(rows) for name, rows in ran.states[-1].items()
    }
    crashed = [
        ref.removeprefix(TAG)
        for ref in iceberg(ran.house, BRONZE).metadata.refs
        if ref.startswith(TAG) and ref.removeprefix(TAG) not in ran.runs
    ]
    vector = ran.house.release(crashed[0])
    assert set(vector) == set(FLOW), "the newest that fit together stand in for it"
    run = ran.house.run().run_id
    assert ran.house.verify().ok
    ran.house.settle_releases()
    assert [each.run for each in releases(ran.house)][: 1 + (number < len(FLOW))][0] in (run, crashed[0])


def test_runs_beside_each_other_are_made_releases_that_fit(small_folder: Path) -> None:
    """Bronze of one may be read by silver of another: what does not fit at first is set right, or is none."""
    lake = small_folder / "lake"
    with lakehouse(lake) as house:
        house.run([str(put(small_folder / "first.json", *RUNS[0]))])
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(2, spawn) as executor:
        events: list[Any] = [manager.Event(), manager.Event()]
        stop = manager.Event()
        running = [
            executor.submit(run_until, str(lake), str(small_folder / f"in{number}"), begun, stop)
            for number, begun in enumerate(events)
        ]
        for begun in events * 3:
            assert begun.wait(120)
            begun.clear()
        stop.set()
        outcomes = [each.result(timeout=120) for each in running]
    assert [wrong for _, wrong in outcomes] == [[], []]
    with lakehouse(lake) as house:
        found = releases(house)
        assert found
        for each in found:
            rows = {
                name: house.query(f"SELECT count(*) AS n FROM {name}", as_of_run=each.run)["n"][0].as_py()
                for name in (BRONZE, SILVER, STATE)
            }
            cars = house.query("SELECT count(DISTINCT car_chassis) AS n FROM silver_car_telemetry", as_of_run=each.run)
            assert rows[STATE] == cars["n"][0].as_py() and rows[SILVER] <= rows[BRONZE]
        assert state(house)[SILVER]
