"""Rollback and resume: what the tables hold, what is held, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.table.update import SetPropertiesUpdate

from carlake.engines.manifests import ancestry, live_files
from carlake.errors import CarlakeError, NotFoundError
from carlake.refresh.plan import Bookmark
from carlake.refresh.refresh import publish
from carlake.upkeep.releases.returning import PIN, stage
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    QUARANTINE,
    SILVER,
    STATE,
    bookmark,
    expected,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
    without_tags,
)

from .conftest import DERIVED, MORE, RUNS, Ran


def converged(ran: Ran, *more: str) -> None:
    """After resume and a run all is as if nothing had been rolled back."""
    report = ran.house.run()
    assert report.status == "succeeded"
    records = [record for batch in RUNS for record in batch] + list(more)
    assert held(ran.house) == expected([(record, MODIFIED) for record in records])
    verified = ran.house.verify()
    assert (verified.problems, verified.behind) == ((), ())


@pytest.mark.parametrize("number", range(4))
def test_the_tables_return_to_what_they_were_before_a_run(ran: Ran, number: int) -> None:
    bronze, before = rows_of(ran.house, BRONZE), heads(ran.house)
    plan = ran.house.plan_rollback(ran.runs[number])
    assert [undone.run for undone in plan.undoes] == ran.runs[number:]
    assert [undone.run for undone in plan.later] == ran.runs[number + 1 :]
    assert heads(ran.house) == before, "a plan changes nothing"

    done = ran.house.rollback(ran.runs[number])
    assert done.done and set(done.held) == set(DERIVED)
    assert done.undoes == plan.undoes
    assert ran.now == ran.states[number]
    assert rows_of(ran.house, BRONZE) == bronze
    assert set(ran.house.holds()) == set(DERIVED)
    verified = ran.house.verify()
    assert verified.problems == ()
    for name in DERIVED:
        table = iceberg(ran.house, name)
        head = table.current_snapshot()
        assert before[name] in [snapshot.snapshot_id for snapshot in ancestry(table, head.snapshot_id)]
        assert PIN not in table.metadata.refs

    assert set(ran.house.resume().tables) == set(DERIVED)
    assert ran.house.holds() == {}
    assert ran.now == ran.states[number], "resume itself moves nothing"
    converged(ran)


def test_the_bookmarks_return_with_the_rows(ran: Ran) -> None:
    then = {name: bookmark(ran.house, name) for name in DERIVED}
    with ran.again() as other:
        other.run([str(put(ran.house.lake.root.parent / "more.json", *MORE))])
    ran.house.rollback("last")
    for name in (SILVER, QUARANTINE):
        assert bookmark(ran.house, name) == then[name]
    silver = heads(ran.house)[SILVER]
    gold = [bookmark(ran.house, name) for name in DERIVED[2:]]
    assert all(mark is not None and mark.source == silver for mark in gold), "gold has read what silver is now"


def test_twice_is_once(ran: Ran) -> None:
    ran.house.rollback(ran.runs[2])
    before = heads(ran.house)
    again = ran.house.rollback(ran.runs[2])
    assert again.done and again.undoes == ()
    assert [move.snapshot_id for move in again.moves] == [None] * len(DERIVED)
    assert heads(ran.house) == before


def test_from_an_older_run_to_a_still_older_one_and_not_forward(ran: Ran) -> None:
    ran.house.rollback(ran.runs[3])
    done = ran.house.rollback(ran.runs[1])
    assert [undone.run for undone in done.undoes] == ran.runs[1:3], "what is undone already is not undone again"
    assert ran.now == ran.states[1]
    done = ran.house.rollback(ran.runs[3])
    assert done.undoes == () and ran.now == ran.states[1]
    assert set(ran.house.resume().runs) == {ran.runs[3]}
    converged(ran)


def test_what_was_resumed_can_be_rolled_back_again(ran: Ran) -> None:
    ran.house.rollback(ran.runs[2])
    ran.house.resume()
    redone = ran.house.run()
    assert ran.now == ran.states[4]
    done = ran.house.rollback(ran.runs[2])
    assert [undone.run for undone in done.undoes] == [redone.run_id], "who took its records in again is undone"
    assert ran.now == ran.states[2]
    ran.house.resume()
    ran.house.run()
    done = ran.house.rollback("last")
    assert ran.now == ran.states[2]
    ran.house.resume()
    converged(ran)


def test_landing_goes_on_and_nothing_else(ran: Ran, tmp_path: Path) -> None:
    ran.house.rollback(ran.runs[3])
    before = heads(ran.house)
    with ran.again() as other:
        report = other.run([str(put(tmp_path / "more.json", *MORE))])
        assert report.status == "succeeded" and report.records == len(MORE)
        assert step(report, BRONZE).status == "succeeded"
        assert [step(report, name).status for name in DERIVED] == ["held"] * len(DERIVED)
        assert {step(report, name).held for name in DERIVED} == {ran.house.holds()[SILVER]}
        assert other.run().idle
        assert [refresh.why for _, refresh in other.plan().refreshes if refresh] == ["held"] * len(DERIVED)
    after = heads(ran.house)
    assert {name: after[name] for name in DERIVED} == {name: before[name] for name in DERIVED}
    assert after[BRONZE] != before[BRONZE]
    infos = {info.name: info for info in ran.house.tables()}
    assert all(infos[name].held is not None for name in DERIVED) and infos[BRONZE].held is None
    # What landed meanwhile was never in the tables: undoing it is nothing to do.
    assert ran.house.rollback("last").undoes == () and ran.now == ran.states[3]
    ran.house.resume()
    converged(ran, *MORE)


@pytest.mark.parametrize("tables", [(), DERIVED])
def test_a_rebuild_leaves_held_tables_alone(ran: Ran, tables: tuple[str, ...]) -> None:
    ran.house.rollback(ran.runs[3])
    before = heads(ran.house)
    report = ran.house.rebuild(tables)
    assert [step(report, name).status for name in DERIVED] == ["held"] * len(DERIVED)
    assert {name: heads(ran.house)[name] for name in DERIVED} == {name: before[name] for name in DERIVED}


def test_a_commit_of_another_program_ends_no_hold(ran: Ran) -> None:
    ran.house.rollback(ran.runs[3])
    table = iceberg(ran.house, SILVER)
    table.append(table.scan().to_arrow().slice(0, 1))
    assert ran.house.holds()[SILVER].run == ran.runs[3]
    assert step(ran.house.run(), SILVER).status == "held"
    ran.house.rollback(ran.runs[3])
    assert ran.now == ran.states[3], "its row is no part of what was before the run"
    ran.house.resume()
    converged(ran)


def test_whatever_is_committed_later_carries_the_hold(ran: Ran) -> None:
    ran.house.rollback(ran.runs[3])
    hold = ran.house.holds()[SILVER]
    context = ran.house.context(trigger="maintain")
    with context.engine.session():
        publish(context, stage(context, SILVER, "compaction", {}, ()))
    assert ran.house.holds()[SILVER] == hold
    assert step(ran.house.run(), SILVER).status == "held"
    assert ran.house.rollback(ran.runs[2]).done and ran.now == ran.states[2]


def test_a_run_that_only_landed_before_it_died(ran: Ran, tmp_path: Path) -> None:
    """Another run took its records in: undoing the first undoes the second."""
    with ran.again() as other:
        first = other.run([str(put(tmp_path / "a.json", MORE[0]))])
        context = ran.house.context()
        ran.house.rollback(first.run_id)
        # As if it had died after bronze: the tables are without it, its records are in bronze.
        ran.house.resume()
        second = other.run([str(put(tmp_path / "b.json", MORE[1]))])
    assert context.run_id not in (first.run_id, second.run_id)
    plan = ran.house.plan_rollback(first.run_id)
    assert [undone.run for undone in plan.undoes] == [second.run_id]
    ran.house.rollback(first.run_id)
    assert ran.now == ran.states[4]
    ran.house.resume()
    converged(ran, *MORE)


def test_a_run_is_named_by_its_beginning(ran: Ran) -> None:
    assert ran.house.plan_rollback(ran.runs[1][:-1]).run == ran.runs[1]
    assert ran.house.plan_rollback("last").run == ran.runs[3]
    with pytest.raises(NotFoundError, match="4 runs begin with"):
        ran.house.plan_rollback("2025")
    with pytest.raises(NotFoundError, match="made by a run 'nobody'") as error:
        ran.house.rollback("nobody")
    assert ran.runs[3] in error.value.advice
    assert ran.house.holds() == {}, "a refusal holds nothing"
    done = ran.house.rollback(ran.runs[3])
    with pytest.raises(NotFoundError):
        ran.house.rollback(str(next(iter(done.moves)).snapshot_id))


def expire(ran: Ran, *, tags: bool) -> None:
    """Remove what no reference keeps; without `tags` the tags of releases go first."""
    for name in (*DERIVED, BRONZE):
        table = iceberg(ran.house, name)
        if not tags:
            table = without_tags(table)
        kept = {ref.snapshot_id for ref in table.metadata.refs.values()}
        gone = [s.snapshot_id for s in table.metadata.snapshots if s.snapshot_id not in kept]
        table.maintenance.expire_snapshots().by_ids(gone).commit()


def test_releases_keep_what_can_be_returned_to(ran: Ran) -> None:
    with ran.again() as other:
        other.rollback(ran.runs[2])
        other.resume()
        other.run()
    expire(ran, tags=True)
    done = ran.house.rollback(ran.runs[1])
    assert ran.now == ran.states[1]
    assert done.undoes[-1].run not in ran.runs
    ran.house.resume()
    converged(ran)


def test_what_is_expired_is_refused_with_what_is_left(ran: Ran, tmp_path: Path) -> None:
    expire(ran, tags=False)
    with pytest.raises(CarlakeError, match="is not kept any more") as error:
        ran.house.rollback(ran.runs[3])
    assert "No run can be rolled back" in error.value.advice
    assert ran.house.holds() == {}
    more = ran.house.run([str(put(tmp_path / "more.json", *MORE))])
    with pytest.raises(CarlakeError, match="is not kept any more") as error:
        ran.house.plan_rollback(ran.runs[3])
    assert more.run_id in error.value.advice
    ran.house.rollback(more.run_id)
    assert ran.now == ran.states[4]
    ran.house.resume()
    converged(ran, *MORE)


def test_a_file_that_is_missing_is_named_before_anything_moves(ran: Ran) -> None:
    table = iceberg(ran.house, SILVER)
    old = ancestry(table, table.current_snapshot().snapshot_id)[1]
    now = {file.file_path for file in live_files(table, table.current_snapshot().snapshot_id)}
    gone = next(file.file_path for file in live_files(table, old.snapshot_id) if file.file_path not in now)
    Path(gone.removeprefix("file://")).unlink()
    before = heads(ran.house)
    with pytest.raises(CarlakeError, match=gone.rpartition("/")[2]):
        ran.house.rollback(ran.runs[3])
    assert heads(ran.house) == before and ran.house.holds() == {}


def test_consumers_compare_rows_over_a_rollback(ran: Ran) -> None:
    """A table that was held by nobody, as another program's would be, reads what went and what came."""
    silver = iceberg(ran.house, SILVER).current_snapshot().snapshot_id
    ran.house.rollback(ran.runs[1])
    engine = ran.house.engine
    with engine.session():
        changed = engine.diff(SILVER, silver, heads(ran.house)[SILVER])
        assert changed is not None
        gone = {(str(row[0]), str(row[1])) for row in engine.rows(f"SELECT car_chassis, event_id FROM {changed.gone}")}
    assert gone == {("A", "e1"), ("C", "e1"), ("C", "e2"), ("B", "e2")}


def test_a_table_without_rows_is_held_too(small_folder: Path) -> None:
    """Nothing of the first run was accepted: gold has snapshots without rows, and the next run finds them held."""
    with lakehouse(small_folder / "lake") as house:
        first = house.run([str(put(small_folder / "a.json", "broken"))])
        house.rollback(first.run_id)
        assert set(house.holds()) == set(DERIVED)
        record = nested("A", "e1", "2025-10-01T00:00:00Z", engine_temp_celsius=120)
        report = house.run([str(put(small_folder / "b.json", record))])
        assert [step(report, name).status for name in DERIVED] == ["held"] * len(DERIVED)
        house.resume()
        assert house.run().status == "succeeded"
        assert held(house) == expected([(record, MODIFIED), ("broken", MODIFIED)])
        assert len(rows_of(house, QUARANTINE)) == 1 and len(rows_of(house, ALERTS)) == 1


def test_a_table_whose_metadata_another_program_touches_is_still_returned(ran: Ran) -> None:
    """A property moves the metadata and not main: the guard lets the commit through on a retry."""
    table = iceberg(ran.house, STATE)
    ran.house.catalog.commit_table(table, (), (SetPropertiesUpdate(updates={"comment": "x"}),))
    ran.house.rollback(ran.runs[3])
    assert ran.now == ran.states[3]
    assert Bookmark.of(iceberg(ran.house, STATE).current_snapshot()) is not None
