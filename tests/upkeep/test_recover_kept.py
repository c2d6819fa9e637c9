"""What a recovery must not undo: retention's promise, an erasure, a rollback."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from tests.upkeep.damages import Contents, contents, data_files, look, now, opened, table_folder
from tests.upkeep.test_recover import recovered

from carlake.engines.manifests import live_files
from carlake.errors import NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.refresh.history import RUN
from carlake.refresh.plan import head_of
from carlake.settings import Settings
from carlake.upkeep.maintenance.retention import Aged, drop_records
from carlake.upkeep.recovery.tables import expire
from lakes import ALERTS, BRONZE, QUARANTINE, SILVER, STATE, bookmark, held, iceberg, rows_of


def _runs(house: Lakehouse) -> list[str]:
    """The three runs in their order: by their clock, which stands still, nobody could tell."""
    summaries = [snapshot.summary for snapshot in iceberg(house, BRONZE).metadata.snapshots]
    return [str(summary.additional_properties[RUN]) for summary in summaries if summary is not None]


SETTINGS, LATER = Settings(threads=1, bronze_retention_days=1), now() + timedelta(days=10)


def with_retention(lake: Path) -> None:
    """Retention has removed all records from bronze."""
    with Lakehouse.open(lake, SETTINGS, clock=lambda: LATER) as house:
        context = house.context(trigger="maintain")
        with context.engine.session():
            bronze = context.find(BRONZE)
            assert bronze is not None
            assert drop_records(context, Aged(tuple(live_files(bronze, head_of(bronze))))) is not None


def test_rows_whose_records_retention_removed_are_kept(lake: Path) -> None:
    """Silver is made again from bronze, and what bronze has no records of any more stays as it was."""
    settings, later = SETTINGS, LATER
    with_retention(lake)
    with opened(lake) as house:
        before = rows_of(house, SILVER)
    gone = data_files(lake, STATE)[0]
    gone.unlink()
    silver = data_files(lake, SILVER)
    silver[0].unlink()
    done = Lakehouse.recover(lake, settings, clock=lambda: later)
    with Lakehouse.open(lake, settings, clock=lambda: later) as house:
        after = rows_of(house, SILVER)
    assert 0 < len(after) < len(before) and all(row in before for row in after)
    assert done.ok, done.verification.problems
    few = len(before) - len(after)
    assert [one.what for one in done.lost] == [f"{few} row{'s' if few > 1 else ''} of {SILVER}"]
    assert "retention has removed their records" in done.lost[0].why


def test_ledger_rows_that_are_lost_come_back_from_silver(lake: Path) -> None:
    settings = Settings(threads=1, bronze_retention_days=1)
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    with opened(lake) as house:
        before = rows_of(house, SILVER)
    for path in data_files(lake, BRONZE):
        path.unlink()
    done = Lakehouse.recover(lake, settings, clock=lambda: now() + timedelta(days=10))
    assert done.ok, done.verification.problems
    with opened(lake) as house:
        assert rows_of(house, SILVER) == before
        assert all(row["record_hash"] is None for row in rows_of(house, BRONZE))


def test_a_rollback_is_not_undone(lake: Path) -> None:
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
    before = contents(lake)
    data_files(lake, SILVER)[0].unlink()
    data_files(lake, ALERTS)[0].unlink()
    recovered(lake)
    assert contents(lake) == before
    with opened(lake) as house:
        assert {step.table for step in house.run().steps if step.status == "held"} >= {SILVER, ALERTS}


def test_a_car_that_was_forgotten_stays_forgotten(lake: Path) -> None:
    """Also where a file from before the erasure turns up again, and bronze has lost the object since."""
    kept = {path: path.read_bytes() for path in data_files(lake, BRONZE)}
    with opened(lake) as house:
        car = str(rows_of(house, STATE)[0]["car_chassis"])
        house.forget(car)
        before = rows_of(house, SILVER)
    assert look(lake).tables[BRONZE].folder
    for path, content in kept.items():
        if not path.exists():
            path.write_bytes(content)
    for path in set(data_files(lake, BRONZE)) - set(kept):
        path.unlink()
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    recovered(lake)
    with opened(lake) as house:
        assert rows_of(house, SILVER) == before
        held = house.query(f"SELECT count(*) AS n FROM {BRONZE} WHERE contains(coalesce(raw, ''), '{car}')")
        assert held["n"].to_pylist() == [0]


def test_a_run_whose_bronze_a_recovery_has_expired_cannot_be_rolled_back(lake: Path) -> None:
    """Its tables could be put back, and then nobody could tell what they were made from."""
    with opened(lake) as house:
        runs = _runs(house)
        first = iceberg(house, BRONZE).metadata.snapshots[0]
    table = look(lake).tables[BRONZE]
    (file,) = table.snapshot_files(first).data
    table.place.path(file.file_path).unlink()
    recovered(lake)
    with opened(lake) as house:
        before = held(house)
        for run in runs:
            with pytest.raises(NotFoundError, match=f"what {BRONZE} was then, is not kept any more"):
                house.rollback(run)
        assert held(house) == before and not house.holds()
        assert house.verify().ok


def test_a_held_table_whose_bronze_is_gone_is_named_by_a_check(lake: Path) -> None:
    """Bronze loses a file of the snapshot that a held table has read, and a recovery expires that."""
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
        mark = bookmark(house, SILVER)
        assert mark is not None and mark.source is not None
        context = house.context(trigger="recover")
        with context.engine.session():
            expire(context, BRONZE, [mark.source])
        problems = house.verify().problems
    assert {(problem.table, problem.kind) for problem in problems} == {(SILVER, "bookmark"), (QUARANTINE, "bookmark")}


def test_a_held_table_that_is_whole_stays_as_it_is(lake: Path) -> None:
    """All of bronze's data files are lost, and the archive has everything."""
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
        before = held(house)
    for path in data_files(lake, BRONZE):
        path.unlink()
    done = Lakehouse.recover(lake, clock=now)
    # Nobody can compare it with the snapshot of bronze that is lost, and only a person ends the hold.
    assert {(one.table, one.kind) for one in done.verification.problems} == {
        (SILVER, "bookmark"),
        (QUARANTINE, "bookmark"),
    }
    with opened(lake) as house:
        assert held(house) == before and house.holds()
        house.resume()
        assert house.run().status == "succeeded" and house.verify().ok


def test_a_held_table_is_made_again_from_what_the_archive_gives_back(lake: Path, rows: Contents) -> None:
    """It has lost files of its own, and what bronze held then is lost, too: it has all of it, and that is said."""
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
    for name in (BRONZE, SILVER):
        for path in data_files(lake, name):
            path.unlink()
    done = Lakehouse.recover(lake, clock=now)
    assert f"the rollback of table {SILVER}" in [one.what for one in done.lost]
    with opened(lake) as house:
        assert rows_of(house, SILVER) == rows[SILVER] and SILVER in house.holds()


def test_that_a_rollback_is_lost_with_the_metadata_of_bronze_is_said(lake: Path) -> None:
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
    shutil.rmtree(table_folder(lake, BRONZE) / "metadata")
    data_files(lake, SILVER)[0].unlink()
    done = Lakehouse.recover(lake, clock=now)
    assert f"the rollback of table {SILVER}" in [one.what for one in done.lost]


@pytest.mark.parametrize("gone", ["all of it", "the table"])
def test_that_a_rollback_is_lost_with_the_metadata_of_the_held_table_is_said(lake: Path, gone: str) -> None:
    """Gold, which is held yet, has fewer cars than silver then."""
    with opened(lake) as house:
        house.rollback(_runs(house)[-1])
        assert SILVER in house.holds()
        if gone == "the table":
            house.catalog.drop_table(f"carlake.{SILVER}")
    for file in (table_folder(lake, SILVER) / "metadata").glob("*.metadata.json"):
        file.unlink()
    done = Lakehouse.recover(lake, clock=now)
    assert [one.what for one in done.lost] == [f"the rollback of table {SILVER}"]
    with opened(lake) as house:
        assert SILVER not in house.holds() and STATE in house.holds()
        house.resume()
        house.run()
        assert house.verify().ok
