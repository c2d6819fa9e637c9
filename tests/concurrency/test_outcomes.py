"""Every outcome of a commit: landed, refused, unknown. The catalog is the real one; what happens around its answer is not."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitFailedException

from carlake.catalogs import sqlite as catalogs_sqlite
from carlake.lakehouse import Lakehouse
from carlake.refresh import commit as commits
from carlake.refresh import land, lease
from carlake.settings import Settings
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    MONTHLY,
    OPS_RUNS,
    QUARANTINE,
    SILVER,
    STATE,
    Landed,
    expected,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
)

Forward = Callable[[], Any]
Act = Callable[[Forward], Any]
"""Does something around a commit; calling what it is given sends the commit to the real catalog."""

TABLES = (BRONZE, SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)
FIRST = nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=5, engine_temp_celsius=120)
SECOND = nested("A", "e2", "2025-10-02T00:00:00Z", trip_distance_km=7, fuel_available_liters=3)
THIRD = nested("B", "e3", "2025-10-03T00:00:00Z", trip_distance_km=9)


def around(house: Lakehouse, table: str, *acts: Act) -> list[Act]:
    """Let the next commits of a table be done by these; those after them go through. Gives the ones still to come."""
    forward = house.catalog.commit_table
    left = list(acts)

    def commit_table(target: Any, *rest: Any) -> Any:
        if target.name()[-1] == table and left:
            return left.pop(0)(lambda: forward(target, *rest))
        return forward(target, *rest)

    house.catalog.commit_table = commit_table
    return left


def answer_lost(forward: Forward) -> None:
    forward()
    raise ConnectionError("the answer was lost")


def not_sent(forward: Forward) -> None:
    raise ConnectionError("the request was lost")


def refuse(forward: Forward) -> None:
    raise CommitFailedException("main has changed")


def after(act: Callable[[], object], forward_by: Act = lambda forward: forward()) -> Act:
    """Something happens just before the commit."""

    def acting(forward: Forward) -> Any:
        act()
        return forward_by(forward)

    return acting


@pytest.fixture
def house(small_folder: Path) -> Iterator[Lakehouse]:
    """A lake that holds the first event and a bad record."""
    with lakehouse(small_folder / "lake") as opened:
        assert opened.run([str(put(small_folder / "first.json", FIRST, "not json"))]).status == "succeeded"
        yield opened


@pytest.fixture
def other(house: Lakehouse) -> Iterator[Lakehouse]:
    """Another process's view of the lake."""
    with lakehouse(house.lake.root) as opened:
        yield opened


@pytest.fixture
def second(small_folder: Path) -> str:
    return str(put(small_folder / "second.json", SECOND, "not json, too"))


@pytest.fixture
def third(small_folder: Path) -> str:
    return str(put(small_folder / "third.json", THIRD))


def check(house: Lakehouse, *texts: str, bad: int = 2) -> None:
    """Silver and gold are what the model says; quarantine has its rows; nothing is twice."""
    landed: list[Landed] = [(text, MODIFIED) for text in texts]
    assert held(house) == expected(landed)
    verified = house.verify()
    assert (verified.problems, verified.behind) == ((), ())
    assert (verified.accepted, verified.quarantined, verified.duplicates) == (len(texts), bad, 0)


def stray_files(house: Lakehouse, table: str) -> int:
    """Data files that no snapshot of the table knows."""
    known = {Path(path).name for path in iceberg(house, table).inspect.all_data_files()["file_path"].to_pylist()}
    folder = Path(iceberg(house, table).location().removeprefix("file://")) / "data"
    return sum(path.name not in known for path in folder.rglob("*.parquet"))


def snapshots(house: Lakehouse, table: str) -> int:
    return len(iceberg(house, table).snapshots())


@pytest.mark.parametrize("outcome", [answer_lost, not_sent])
def test_an_unknown_outcome_is_cleared_up_for_every_table(house: Lakehouse, second: str, outcome: Act) -> None:
    before = {table: snapshots(house, table) for table in TABLES}
    left = [around(house, table, outcome) for table in TABLES]
    report = house.run([second])
    assert not any(left)
    assert report.status == "succeeded" and not any(each.refusals for each in report.steps)
    assert {table: snapshots(house, table) - before[table] for table in TABLES} == dict.fromkeys(TABLES, 1)
    check(house, FIRST, SECOND)
    assert not any(stray_files(house, table) for table in TABLES)


def test_a_commit_that_landed_and_was_succeeded_before_the_answer_was_lost(
    house: Lakehouse, other: Lakehouse, second: str, third: str
) -> None:
    def land_and_be_succeeded(forward: Forward) -> None:
        forward()
        assert other.run([third]).status == "succeeded"
        raise ConnectionError("the answer was lost")

    around(house, BRONZE, land_and_be_succeeded)
    report = house.run([second])
    assert report.status == "succeeded" and snapshots(house, BRONZE) == 3
    assert report.records == 2, "it knows the commit for its own, though main has moved on"
    check(house, FIRST, SECOND, THIRD)


@pytest.mark.parametrize("table", [BRONZE, SILVER, STATE])
def test_an_unknown_commit_that_is_refused_when_sent_again_keeps_its_files(
    house: Lakehouse, other: Lakehouse, second: str, third: str, table: str
) -> None:
    # Whether the first try landed and was rolled back cannot be known here, so its files are nobody's to delete.
    around(house, table, after(lambda: other.run([third]), not_sent))
    report = house.run([second])
    assert report.status == "succeeded"
    check(house, FIRST, SECOND, THIRD)
    assert stray_files(house, table) >= 1


@pytest.mark.parametrize("table", [SILVER, QUARANTINE, STATE])
def test_a_refused_commit_is_planned_again_and_its_files_are_removed(
    house: Lakehouse, other: Lakehouse, second: str, third: str, table: str
) -> None:
    around(house, table, after(lambda: other.run([third])))
    report = house.run([second])
    assert report.status == "succeeded" and step(report, table).refusals == 1
    check(house, FIRST, SECOND, THIRD)
    assert stray_files(house, table) == 0


def test_bronze_that_was_refused_lands_the_same_files_on_the_new_base(
    house: Lakehouse, other: Lakehouse, second: str, third: str
) -> None:
    around(house, BRONZE, after(lambda: other.run([third])))
    report = house.run([second])
    assert report.status == "succeeded" and report.records == 2
    check(house, FIRST, SECOND, THIRD)
    assert snapshots(house, BRONZE) == 3 and stray_files(house, BRONZE) == 0


def test_bronze_that_was_refused_by_the_same_object_adds_nothing(
    house: Lakehouse, other: Lakehouse, second: str, third: str
) -> None:
    """The other process lands one of two objects: that one is known then, and the other one still lands."""
    around(house, BRONZE, after(lambda: other.run([second])))
    report = house.run([second, third])
    assert report.status == "succeeded"
    assert (report.files, report.files_known, report.records) == (2, 1, 1)
    check(house, FIRST, SECOND, THIRD)
    assert stray_files(house, BRONZE) == 0
    assert len(rows_of(house, BRONZE)) == 5


@pytest.mark.parametrize("look", [1, 2])
def test_bronze_that_another_process_wrote_right_after_the_look_is_looked_at_again(
    house: Lakehouse, other: Lakehouse, second: str, third: str, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """What was known and what is built on have to be one snapshot, or a content lands twice without any refusal."""
    known = land._known
    looks: list[Any] = []

    def known_and_then_written(*of: Any) -> Any:
        answer = known(*of)
        if of[0].run_id in looks or not looks:
            looks.append(of[0].run_id)
            if len(looks) == look:
                other.run([second])
        return answer

    monkeypatch.setattr(land, "_known", known_and_then_written)
    if look == 2:
        around(house, BRONZE, refuse)
    report = house.run([second, third])
    assert report.status == "succeeded" and (report.files_known, report.records) == (1, 1)
    check(house, FIRST, SECOND, THIRD)
    assert len(rows_of(house, BRONZE)) == 5


def test_rows_that_another_process_left_in_bronze_reach_silver_though_a_chunk_is_at_hand(
    house: Lakehouse, other: Lakehouse, second: str, third: str
) -> None:
    """The trap of the fast path: the other lands B2 and never gets to silver; this one's chunk holds B3 only."""
    for table in TABLES[1:]:
        around(other, table, *[_lose_the_table] * 3)
    around(house, BRONZE, after(lambda: other.run([third])))
    report = house.run([second])
    assert report.status == "succeeded" and step(report, SILVER).rows_in == 2
    check(house, FIRST, SECOND, THIRD)


def _lose_the_table(forward: Forward) -> None:
    raise ValueError("the process is not there any more")


def test_a_locked_database_is_waited_for(house: Lakehouse, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs_sqlite, "BUSY_SECONDS", 0.05)
    with lakehouse(house.lake.root) as impatient:
        lock = sqlite3.connect(house.lake.catalog_db, check_same_thread=False, isolation_level=None)
        seen = []

        def locked(forward: Forward) -> Any:
            lock.execute("BEGIN EXCLUSIVE")
            threading.Timer(0.5, lambda: lock.execute("ROLLBACK")).start()
            try:
                return forward()
            except Exception as error:
                seen.append(str(error))
                raise

        around(impatient, BRONZE, locked)
        assert impatient.run([second]).status == "succeeded"
        lock.close()
        assert "locked" in seen[0]
        check(impatient, FIRST, SECOND)
        assert snapshots(impatient, BRONZE) == 2


@pytest.mark.parametrize("landed", [True, False])
def test_a_catalog_that_stays_away_leaves_the_object_in_landing_for_the_next_run(
    house: Lakehouse, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    monkeypatch.setattr(commits, "_TRIES", 2)
    waiting = put(house.lake.landing / "second.json", SECOND, "not json, too")
    real = house.catalog.load_table

    def gone(*_: Any) -> Any:
        raise ConnectionError("the catalog is away")

    def go_away(forward: Forward) -> None:
        if landed:
            forward()
        house.catalog.load_table = gone
        gone()

    around(house, BRONZE, go_away, not_sent)
    report = house.run()
    assert report.status == "failed" and "did not say whether" in step(report, BRONZE).error
    assert waiting.exists() and not list(house.lake.archive.glob("*/*/*"))

    house.catalog.load_table = real
    assert len(rows_of(house, BRONZE)) == (4 if landed else 2)
    kept = stray_files(house, BRONZE)
    assert kept == (0 if landed else 1), "the files of an unknown commit are kept"
    again = house.run()
    assert again.status == "succeeded" and again.files_known == landed and not waiting.exists()
    check(house, FIRST, SECOND)
    assert stray_files(house, BRONZE) == kept


def test_silver_that_stayed_behind_quarantine_reads_on_from_its_own_place(
    house: Lakehouse, second: str, small_folder: Path
) -> None:
    """A rebuild for an added contract tries quarantine's records again, and all that silver has not read."""
    contract = small_folder / "probe.yaml"
    contract.write_text(
        "contract: probe\nversion: 1\ndescription: Probes.\nrecognised_by: [[probe]]\n"
        "fields:\n  car_chassis: {path: probe, required: true}\n  event_timestamp: {path: at, required: true}\n"
    )
    house.run([str(put(small_folder / "probe.json", '{"probe": "P", "at": "2025-10-05T00:00:00Z"}'))])
    around(house, SILVER, _lose_the_table)
    assert house.run([second]).status == "partial"
    with lakehouse(house.lake.root, Settings(threads=1, contracts=[contract])) as adopting:
        assert adopting.rebuild().status == "succeeded"
        assert [row["car_chassis"] for row in rows_of(adopting, SILVER)] == ["A", "A", "P"]
        verified = adopting.verify()
        assert (verified.problems, verified.behind, verified.quarantined) == ((), (), 2)


def test_a_table_that_fails_stops_no_other_and_is_caught_up_by_the_next_run(
    house: Lakehouse, second: str, third: str
) -> None:
    around(house, STATE, _lose_the_table)
    around(house, QUARANTINE, _lose_the_table)
    report = house.run([second])
    assert report.status == "partial"
    assert [each.table for each in report.steps if each.status == "failed"] == [QUARANTINE, STATE]
    verified = house.verify()
    assert verified.ok and verified.behind == (QUARANTINE, STATE)
    assert house.run([third]).status == "succeeded"
    check(house, FIRST, SECOND, THIRD)
    errors = house.query("SELECT step, error FROM ops_runs WHERE status = 'failed' ORDER BY step").to_pylist()
    assert [each["step"] for each in errors] == [STATE, QUARANTINE] and all(each["error"] for each in errors)


@pytest.mark.parametrize("table", TABLES)
def test_of_two_first_snapshots_one_is_refused(small_folder: Path, second: str, third: str, table: str) -> None:
    """A first snapshot has no parent, so nothing but the guard keeps two of them apart."""
    with lakehouse(small_folder / "lake") as house, lakehouse(small_folder / "lake") as other:
        around(house, table, after(lambda: other.run([third])))
        report = house.run([second])
        assert report.status == "succeeded"
        check(house, SECOND, THIRD, bad=1)
        assert len(rows_of(house, BRONZE)) == 3 and snapshots(house, BRONZE) == 2


def test_a_rollback_meanwhile_is_a_refusal(house: Lakehouse, second: str, third: str) -> None:
    """It brings no new sequence number: only the guard sees that main is another snapshot."""
    house.run([third])

    def roll_back() -> None:
        table = iceberg(house, SILVER)
        table.manage_snapshots().set_current_snapshot(snapshot_id=table.snapshots()[0].snapshot_id).commit()

    around(house, SILVER, after(roll_back))
    report = house.run([second])
    assert report.status == "succeeded" and step(report, SILVER).refusals == 1
    check(house, FIRST, SECOND, THIRD)


def test_a_rebuild_that_meets_a_run_of_the_old_definition(house: Lakehouse, second: str, small_folder: Path) -> None:
    rules = small_folder / "rules.yaml"
    rules.write_text("rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 50}\n  LOW_FUEL: off\n")
    with lakehouse(house.lake.root, Settings(threads=1, rules=[rules])) as adopting:
        around(adopting, ALERTS, after(lambda: house.run([second])))
        report = adopting.rebuild()
        assert report.status == "succeeded" and step(report, ALERTS).refusals == 1
        assert step(report, ALERTS).why == "definition"
        alerts = [(row["event_id"], row["alert_severity"]) for row in rows_of(adopting, ALERTS)]
        assert alerts == [("e1", "WARNING")] and adopting.verify().ok


def test_a_sequence_number_that_a_branch_took_is_a_refusal(house: Lakehouse, second: str) -> None:
    def branch() -> None:
        table = iceberg(house, SILVER)
        table.manage_snapshots().create_branch(table.current_snapshot().snapshot_id, "another").commit()
        table.append(table.scan().to_arrow(), branch="another")

    around(house, SILVER, after(branch))
    report = house.run([second])
    assert report.status == "succeeded" and step(report, SILVER).refusals == 1
    check(house, FIRST, SECOND)


@pytest.mark.parametrize("table", [BRONZE, SILVER])
def test_a_writer_that_is_refused_again_and_again_takes_the_lease(house: Lakehouse, second: str, table: str) -> None:
    leases = []

    def refuse_and_look(forward: Forward) -> None:
        path = house.lake.scratch / f"{table}.lease"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                leases.append(False)
            except BlockingIOError:
                leases.append(True)
        raise CommitFailedException("main has changed")

    around(house, table, *[refuse_and_look] * 5)
    report = house.run([second])
    assert report.status == "succeeded" and step(report, table).refusals == 5
    assert leases == [False] * 3 + [True] * 2
    check(house, FIRST, SECOND)
    assert stray_files(house, table) == 0


@pytest.mark.parametrize("table", [BRONZE, STATE])
def test_a_writer_that_is_always_refused_gives_up_and_says_so(
    house: Lakehouse, second: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr(lease, "MOST_REFUSALS", 2)
    around(house, table, *[refuse] * 2)
    report = house.run([second])
    assert report.status == ("failed" if table == BRONZE else "partial") and table in step(report, table).error
    assert stray_files(house, table) == 0
    assert house.run([second]).status == "succeeded"
    check(house, FIRST, SECOND)


def test_a_writer_waits_for_who_has_the_lease(house: Lakehouse, second: str) -> None:
    path = house.lake.scratch / f"{SILVER}.lease"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        released: list[bool] = []

        def release() -> None:
            released.append(True)
            fcntl.flock(file, fcntl.LOCK_UN)

        around(house, SILVER, lambda forward: (released.append(False), forward())[1])
        threading.Timer(0.5, release).start()
        assert house.run([second]).status == "succeeded"
    assert released == [True, False], "the commit came after the lease was let go"


def test_a_run_that_cannot_be_written_down_is_still_done(house: Lakehouse, second: str) -> None:
    around(house, OPS_RUNS, _lose_the_table)
    assert house.run([second]).status == "succeeded"
    house.close()
    with lakehouse(house.lake.root) as again:
        check(again, FIRST, SECOND)


def test_a_table_that_is_dropped_under_way_is_made_again(house: Lakehouse, second: str) -> None:
    around(house, ALERTS, after(lambda: house.catalog.drop_table(f"carlake.{ALERTS}")))
    report = house.run([second])
    assert report.status == "succeeded" and step(report, ALERTS).refusals == 1
    check(house, FIRST, SECOND)
