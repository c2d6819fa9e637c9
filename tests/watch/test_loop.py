"""What `watch` does with what arrives: whatever comes, however it is announced, everything is visible once."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from carlake import journal
from carlake.engines import landed_objects
from carlake.engines.duckdb import land as duckdb_land
from carlake.refresh.circuits import Circuits
from carlake.refresh.report import RunReport
from carlake.settings import Settings
from carlake.watch import loop
from carlake.watch.baton import Baton
from carlake.watch.chores import MAINTAINED, chores
from carlake.watch.loop import Watch
from carlake.watch.presence import folder
from lakes import MODIFIED, NOON, lakehouse, nested, put, rows_of
from watch.running import all_once, event, land, landing, wait_until, watching

# So seldom that only a hint can be why an object is seen.
HINTS_ALONE = {"list_seconds": 3600.0}
# Often enough for a test, and no hint comes at all.
LISTING_ALONE = {"list_seconds": 0.05}


def deaf(watch: Watch) -> None:
    """No event of the file system reaches the watch, as in a store, on a network file system, or when they get lost."""
    watch._hints._folders = ()


def runs_of(watch: Watch) -> list[RunReport]:
    """The reports of the runs that the watch does."""
    reports: list[RunReport] = []
    take = watch.house.take

    def noting(*given: Any, **more: Any) -> RunReport:
        reports.append(take(*given, **more))
        return reports[-1]

    watch.house.take = noting  # type: ignore[method-assign]
    return reports


def test_five_files_one_after_another_are_each_taken_at_once(small_folder: Path) -> None:
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        for number in range(5):
            running.land(f"f{number}.json", event(number))
            running.until_landed(files=number + 1)
        all_once(running.house, range(5))
        done = running.events(journal.DONE)
        assert [line["files"] for line in done] == [1] * 5
        assert all(line["run_id"] and line["status"] == "succeeded" for line in done)


def test_five_files_at_once(small_folder: Path) -> None:
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        for number in range(5):
            running.land(f"f{number}.json", event(number))
        running.until_landed(files=5)
        all_once(running.house, range(5))


def test_five_hundred_in_a_burst_in_folders_made_for_them(small_folder: Path) -> None:
    # Events in folders made a moment ago get lost, so a second look or the listing must find the rest.
    with watching(small_folder / "lake", Settings(threads=1, list_seconds=2.0)) as running:
        for number in range(500):
            running.land(f"part{number % 10}/f{number}.json", event(number))
        running.until_landed(files=500)
        all_once(running.house, range(500))
        assert len(running.events(journal.DONE)) < 100, "gathered into batches"


def test_without_any_event_the_listing_finds_everything(small_folder: Path) -> None:
    with watching(small_folder / "lake", prepare=deaf, **LISTING_ALONE) as running:
        for number in range(3):
            running.land(f"f{number}.json", event(number))
        running.until_landed(files=3)
        all_once(running.house, range(3))
        assert running.watch.figures.hints == 0


def test_hints_that_tell_nothing_change_nothing(small_folder: Path) -> None:
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        for _ in range(20):
            running.watch._hints.hint()
            time.sleep(0.01)
        running.land("f.json", event(1))
        for _ in range(20):
            running.watch._hints.hint()
        running.until_landed(files=1)
        all_once(running.house, [1])
        assert len(running.events(journal.BEGUN)) == 1


def test_what_waited_before_it_began_is_taken_too(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        land(house, "early.json", event(1))
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        running.until_landed(files=1)
        all_once(running.house, [1])


@pytest.mark.skipif(not hasattr(__import__("fcntl"), "F_SETLEASE"), reason="only Linux tells who has a file open")
def test_a_slow_writer_in_landing_is_waited_for_and_nothing_of_it_is_quarantined(small_folder: Path) -> None:
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        with (running.house.lake.landing / "slow.ndjson").open("w") as slow:
            for number in range(6):
                text = event(number) + "\n"
                slow.write(text[:50])
                slow.flush()
                time.sleep(0.1)  # it is looked at several times in the middle of a record
                slow.write(text[50:])
                slow.flush()
            running.land("other.json", event(100))
            running.until(lambda: running.watch.figures.files == 1)
            assert landing(running.house) == ["slow.ndjson"] and running.watch.figures.unfinished_files == 1
        running.until_landed(files=2)
        all_once(running.house, [*range(6), 100])


def test_a_file_that_changes_while_it_is_read_is_reported_and_taken_in_whole_later(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_folder / "lake" / "landing" / "grows.ndjson"
    stat, grown = os.stat, threading.Event()

    def grow_at_the_last_look(of: Any, **more: Any) -> os.stat_result:
        # The look after the reading: by then the writer has gone on.
        if of == str(path) and path.exists() and not grown.is_set() and not more:
            grown.set()
            with path.open("a") as more_of_it:
                more_of_it.write(event(2) + "\n")
        return stat(of, **more)

    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        monkeypatch.setattr("carlake.landing.objects.os.stat", grow_at_the_last_look)
        running.land("grows.ndjson", event(1) + "\n")
        running.until_landed(files=1)
        assert grown.is_set()
        (told,) = running.events(journal.NOT_TAKEN)
        assert told["object"] == str(path) and "changed while it was read" in told["why"]
        all_once(running.house, [1, 2])


def test_what_cannot_be_read_is_told_and_does_not_hold_up_the_rest(small_folder: Path) -> None:
    with watching(small_folder / "lake", prepare=deaf, **LISTING_ALONE) as running:
        os.mkfifo(running.house.lake.landing / "pipe")
        running.until(lambda: bool(running.events(journal.NOT_TAKEN)))
        looks = running.watch.figures.looks
        running.land("f.json", event(1), "not json")
        running.until_landed(files=1)
        running.until(lambda: running.watch.figures.looks > looks + 20)
        all_once(running.house, [1], quarantined=1)
        assert len(running.events(journal.NOT_TAKEN)) == 1, "said once, not at every look"


def test_objects_that_stay_in_landing_are_taken_once(small_folder: Path) -> None:
    settings = Settings(threads=1, after_landing="leave")
    with watching(small_folder / "lake", settings, prepare=deaf, **LISTING_ALONE) as running:
        path = running.land("f.json", event(1))
        running.until(lambda: running.watch.figures.files == 1)
        looks = running.watch.figures.looks
        running.until(lambda: running.watch.figures.looks > looks + 20)
        assert running.watch.figures.files == 1 and running.watch.figures.backlog_files == 0
        put(path, event(2))
        running.until(lambda: running.watch.figures.files == 2)
        all_once(running.house, [1, 2], pending=1)
        assert landing(running.house) == ["f.json"]


def test_a_prefix_elsewhere_is_watched_and_left_as_it_is(small_folder: Path) -> None:
    elsewhere = small_folder / "elsewhere"
    put(elsewhere / "a.json", event(1))
    with watching(small_folder / "lake", prefixes=[str(elsewhere)], **HINTS_ALONE) as running:
        running.until(lambda: running.watch.figures.files == 1)
        put(elsewhere / "b.json", event(2))
        running.until(lambda: running.watch.figures.files == 2)
        running.land("not-watched.json", event(3))
        all_once(running.house, [1, 2], pending=1)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["a.json", "b.json"]


def test_a_copy_of_what_changed_before_it_was_read_is_taken_for_it(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of equal contents one object is read; where it breaks off, the others have not been taken either."""
    elsewhere = small_folder / "elsewhere"
    older = put(elsewhere / "b.json", event(1), modified=MODIFIED.replace(year=2024))
    put(elsewhere / "c.json", event(1))
    read, left = duckdb_land.read_objects, [event(2)]

    def rewritten_before(*given: Any) -> Any:
        if left:
            older.write_text(left.pop())
        return read(*given)

    monkeypatch.setattr(landed_objects, "_SMALL_BYTES", 0)  # each is read twice: for its hash, then for its records
    monkeypatch.setattr(duckdb_land, "read_objects", rewritten_before)
    with watching(small_folder / "lake", prefixes=[str(elsewhere)], **LISTING_ALONE) as running:
        running.until(lambda: running.watch.figures.records == 2)
        all_once(running.house, [1, 2])


def test_a_stores_prefix_is_listed(small_folder: Path) -> None:
    import obstore

    from carlake.landing.stores import store

    bucket = store("memory://watched")
    with watching(small_folder / "lake", prefixes=["memory://watched/landing"], **LISTING_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        obstore.put(bucket, "landing/a.json", event(1).encode())
        running.until(lambda: running.watch.figures.files == 1)
        obstore.put(bucket, "landing/day/b.json", event(2).encode())
        running.until(lambda: running.watch.figures.files == 2)
        all_once(running.house, [1, 2])


def test_it_takes_up_what_a_process_that_died_left_behind(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException): ...

    def die(table: str, done: int) -> None:
        if table == "gold_car_current_state":
            raise Died

    with watching(small_folder / "lake", prepare=deaf, **LISTING_ALONE) as running:
        with lakehouse(small_folder / "lake") as other:
            put(small_folder / "a.json", event(1))
            with pytest.raises(Died):
                other.run([str(small_folder / "a.json")], progress=die)
        running.until(lambda: len(rows_of(running.house, "gold_performance_alerts_log")) == 1)
        all_once(running.house, [1])


def test_a_second_watch_leaves_a_batch_to_the_first_but_does_not_wait_for_ever(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_LONGEST_YIELD_SECONDS", 3600.0)
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        other = Baton(folder(running.house.lake))
        assert other.take()
        running.land("a.json", event(1))
        running.until(lambda: running.watch.figures.backlog_files == 1)
        time.sleep(1.0)
        assert running.watch.figures.files == 0 and landing(running.house) == ["a.json"]
        other.give_back()
        running.until_landed(files=1)
        wait_until(other.take)  # and now it hangs
        monkeypatch.setattr(loop, "_LONGEST_YIELD_SECONDS", 0.3)
        running.land("b.json", event(2))
        running.until_landed(files=2)
        other.give_back()
        all_once(running.house, [1, 2])


def test_batches_have_a_limit_and_the_oldest_go_first(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        for number in range(7):
            land(house, f"f{number}.json", event(number))
    reports: list[Any] = []

    def prepare(watch: Watch) -> None:
        reports.append(runs_of(watch))

    settings = Settings(threads=1, batch_files=3)
    with watching(small_folder / "lake", settings, prepare, until_idle=True) as running:
        watched = running.join()
        assert [report.files for report in reports[0] if report.files] == [3, 3, 1]
        assert (watched.reason, watched.files, watched.accepted) == ("idle", 7, 7)
        all_once(running.house, range(7))


def test_until_idle_ends_when_nothing_waits(small_folder: Path) -> None:
    with watching(small_folder / "lake", until_idle=True) as running:
        assert running.join().reason == "idle"
    with watching(small_folder / "lake", until_idle=True) as running:
        running.land("f.json", event(1), "not json")
        watched = running.join()
        assert watched.reason == "idle"


def test_until_idle_ends_where_idle_cannot_be_reached_after_one_more_try(small_folder: Path) -> None:
    def prepare(watch: Watch) -> None:
        def context(*_: Any, **__: Any) -> Any:
            raise ConnectionError("the catalog is away")

        watch.house.context = context  # type: ignore[method-assign]

    with watching(small_folder / "lake", prepare=prepare, until_idle=True) as running:
        watched = running.join()
        assert watched.reason == "hindered: ConnectionError: the catalog is away" and not watched.well
        assert watched.errors == 2
        first, second = running.events(journal.TROUBLE)
        assert "again_seconds" in first and "again_seconds" not in second


def test_an_error_of_the_catalog_is_logged_and_tried_again(small_folder: Path) -> None:
    broken = threading.Event()

    def prepare(watch: Watch) -> None:
        real = watch.house.context

        def context(*given: Any, **more: Any) -> Any:
            if broken.is_set():
                raise ConnectionError("the catalog is away")
            return real(*given, **more)

        watch.house.context = context  # type: ignore[method-assign]

    with watching(small_folder / "lake", prepare=prepare, list_seconds=0.1) as running:
        running.land("a.json", event(1))
        running.until_landed(files=1)
        assert running.watch.figures.readiness() == (True, {})
        broken.set()
        running.land("b.json", event(2))
        running.until(lambda: running.watch.figures.errors >= 2)
        ready, why = running.watch.figures.readiness()
        assert not ready and "the catalog is away" in str(why["run"])
        waits = [line["again_seconds"] for line in running.events(journal.TROUBLE)]
        assert waits[0] < waits[1], "each wait is longer"
        broken.clear()
        running.until_landed(files=2)
        assert running.watch.figures.readiness() == (True, {})
        all_once(running.house, [1, 2])


def test_a_landing_folder_that_vanishes_is_awaited(small_folder: Path) -> None:
    with watching(small_folder / "lake", prepare=deaf, **LISTING_ALONE) as running:
        running.until(lambda: running.watch.figures.ready)
        away = running.house.lake.landing.rename(small_folder / "away")
        running.until(lambda: running.watch.figures.listing_error is not None)
        assert "There is no folder" in running.events(journal.TROUBLE)[0]["error"]
        assert not running.watch.figures.readiness()[0]
        away.rename(running.house.lake.landing)
        running.land("a.json", event(1))
        running.until_landed(files=1)
        assert running.watch.figures.readiness() == (True, {})


def test_a_landing_folder_that_was_made_anew_is_listened_to(small_folder: Path) -> None:
    with watching(small_folder / "lake", list_seconds=0.2) as running:
        running.land("a.json", event(1))
        running.until_landed(files=1)
        running.house.lake.landing.rmdir()
        running.until(lambda: running.watch.figures.listing_error is not None)
        running.house.lake.landing.mkdir()
        running.until(lambda: running.watch.figures.listing_error is None)
        running.watch._list_seconds = 3600.0
        looks = running.watch.figures.looks
        running.until(lambda: running.watch.figures.looks > looks)  # the last look that was due
        hints = running.watch.figures.hints
        running.land("b.json", event(2))
        running.until_landed(files=2)
        assert running.watch.figures.hints > hints


RULE = """\
rules:
  WARM_ENGINE:
    title: Engine temperature
    column: engine_temp_celsius
    above: {WARNING: %d}
"""


def test_a_stop_in_the_middle_finishes_the_batch_at_hand(small_folder: Path) -> None:
    half = threading.Event()

    def prepare(watch: Watch) -> None:
        progress = watch._progress

        def stop_at_silver(table: str, done: int) -> None:
            if table.startswith("silver") and watch.figures.backlog_files:
                watch.stop("in the middle")
                half.set()
            progress(table, done)

        watch._progress = stop_at_silver  # type: ignore[method-assign]

    with watching(small_folder / "lake", prepare=prepare) as running:
        running.land("a.json", event(1))
        watched = running.join()
        assert half.is_set() and (watched.reason, watched.files) == ("in the middle", 1)
        all_once(running.house, [1])
        assert landing(running.house) == []


@pytest.mark.parametrize(("at", "landed"), [("bronze_car_data", 0), ("silver_car_telemetry", 1)])
def test_a_batch_that_takes_too_long_is_broken_off_and_the_next_watch_goes_on(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch, at: str, landed: int
) -> None:
    monkeypatch.setattr(loop, "_FINISH_SECONDS", 0.0)

    def prepare(watch: Watch) -> None:
        progress = watch._progress

        def stop_there(table: str, done: int) -> None:
            if table == at and watch.figures.backlog_files:
                watch.stop("in the middle")
                time.sleep(0.01)
            progress(table, done)

        watch._progress = stop_there  # type: ignore[method-assign]

    with watching(small_folder / "lake", prepare=prepare) as running:
        running.land("a.json", event(1))
        assert running.join().runs == 0
        assert rows_of(running.house, "silver_car_telemetry") == []
        assert len(rows_of(running.house, "bronze_car_data")) == landed
        assert {line["level"] for line in running.lines} == {"info"}, "nothing failed"
    with watching(small_folder / "lake", until_idle=True) as running:
        running.join()
        all_once(running.house, [1])
        assert landing(running.house) == []


def test_runs_are_written_down_at_the_end_and_when_it_is_quiet(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 0.2)
    with watching(small_folder / "lake", list_seconds=0.05) as running:
        running.land("a.json", event(1))
        running.until_landed(files=1)
        running.until(lambda: len(rows_of(running.house, "ops_runs")) == 6)
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 3600.0)
    with watching(small_folder / "lake") as running:
        running.land("b.json", event(2))
        running.until_landed(files=1)
        assert len(rows_of(running.house, "ops_runs")) == 6, "off the way of the events"
    with lakehouse(small_folder / "lake") as house:
        assert house.runs()["trigger"].to_pylist() == ["watch", "watch"]


def test_chores_are_done_between_batches(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 0.0)
    done: list[int] = []

    def chore(seconds: float) -> bool:
        done.append(len(done))
        return len(done) < 3

    with watching(small_folder / "lake", chores=chore) as running:
        time.sleep(0.2)
        assert done == [], "nothing was committed, so nothing is due"
        running.land("a.json", event(1))
        running.until_landed(files=1)
        running.watch._hints.wake()
        wait_until(lambda: len(done) == 3)
        running.watch._hints.wake()
        time.sleep(0.2)
        assert done == [0, 1, 2]


def test_a_watch_that_never_rests_takes_more_time_for_chores_now_and_then(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a short slice cannot merge would otherwise never be merged."""
    monkeypatch.setattr(loop, "_CHORES_AFTER_COMMITS", 1)
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 600.0)
    slices: list[float] = []

    def chore(seconds: float) -> bool:
        slices.append(seconds)
        return False

    with watching(small_folder / "lake", chores=chore) as running:
        for number in range(3):
            if number == 1:
                running.watch._last_long -= loop._LONG_SLICE_AFTER_SECONDS
            running.land(f"{number}.json", event(number))
            running.until_landed(files=number + 1)
            wait_until(lambda number=number: len(slices) > number)  # type: ignore[misc]
    busy, long = loop._BUSY_SLICE_SECONDS, loop._LONG_SLICE_SECONDS
    assert slices == [busy, long, busy]


def test_a_definition_that_others_adopted_is_read_again_before_it_is_said_to_differ(small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    rules.write_text(RULE % 90)
    settings = Settings(threads=1, rules=(rules,))
    with watching(small_folder / "lake", settings, **HINTS_ALONE) as running:
        running.land("a.json", event(1))
        running.until_landed(files=1)
        rules.write_text(RULE % 95)
        running.land("b.json", event(2))
        running.until_landed(files=2)
        assert not running.events(journal.LEFT), "the file alone changes nothing"
        with lakehouse(small_folder / "lake", settings) as other:
            assert other.rebuild().status == "succeeded"
        running.land("c.json", event(3))
        running.until_landed(files=3)
        assert running.watch.figures.runs == {"succeeded": 3} and not running.events(journal.LEFT)
    with lakehouse(small_folder / "lake", settings) as other:
        assert len(rows_of(other, "gold_performance_alerts_log")) == 6
        assert (other.verify().problems, other.verify().behind) == ((), ())


def test_a_definition_that_differs_is_said_once_and_the_other_tables_go_on(small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    rules.write_text(RULE % 90)
    with lakehouse(small_folder / "lake", Settings(threads=1, rules=(rules,))) as house:
        house.run([str(put(small_folder / "a.json", event(1)))])
    with watching(small_folder / "lake", **HINTS_ALONE) as running:
        for number in (2, 3):
            running.land(f"{number}.json", event(number))
            running.until_landed(files=number - 1)
        (left,) = running.events(journal.LEFT)
        assert left["table"] == "gold_performance_alerts_log" and "rebuild" in left["error"]
        assert len(rows_of(running.house, "gold_car_current_state")) == 3
        assert len(rows_of(running.house, "gold_performance_alerts_log")) == 2


def test_memory_of_objects_does_not_grow_with_the_files_that_went_by(small_folder: Path) -> None:
    with watching(small_folder / "lake", list_seconds=0.1) as running:
        for number in range(10):
            running.land(f"f{number}.json", nested("A", f"e{number}", "2025-10-01T00:00:00Z"))
        running.until_landed(files=10)
        looks = running.watch.figures.looks
        running.until(lambda: running.watch.figures.looks > looks + 2)
        watch = running.watch
        assert len(watch._objects) == 0
        assert running.watch.figures.visible.buckets()[-1] == ("+Inf", 10.0)


def test_maintenance_is_done_inside_the_loop(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(threads=1, keep_snapshots=5, releases_kept=0, compact_files=2)
    monkeypatch.setattr(loop, "_CHORES_AFTER_COMMITS", 30)
    with lakehouse(small_folder / "lake", settings) as house:
        house.run()

    def prepare(watch: Watch) -> None:
        watch._chores = partial(chores, watch.house)

    with watching(small_folder / "lake", settings, prepare, **HINTS_ALONE) as running:
        for number in range(9):
            running.land(f"f{number}.json", event(number))
            running.until_landed(files=number + 1)
        running.until(lambda: bool(running.events(MAINTAINED)))
        tasks = {line["task"] for line in running.events(MAINTAINED)}
        assert tasks & {"compact", "expire"} and not [line for line in running.lines if line["level"] == "error"]
        all_once(running.house, range(9))


def test_a_failure_of_a_table_that_is_not_tried_hurries_nothing(small_folder: Path) -> None:
    """Of a table that is not there any more, or whose newest failure is another process's: no run takes it up."""
    with lakehouse(small_folder / "lake") as house:
        house.run([str(put(small_folder / "a.json", event(1)))])
        circuits = Circuits.of_lake(house.lake, house.settings, lambda: NOON - timedelta(hours=1))
        circuits.failed("gold_of_before", "it failed", "a run", NOON)
        circuits.failed("bronze_car_data", "it failed", "a run", NOON)
        watch = Watch(house, **HINTS_ALONE)
        now = time.monotonic()
        watch._look(now, None)
        assert watch.figures.looks == 1 and watch._next_look == watch._next_full == now + HINTS_ALONE["list_seconds"]
