"""What a recovery must not undo: retention's promise, an erasure, a rollback."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.upkeep.damages import contents, data_files, look, now, opened
from tests.upkeep.test_recover import recovered

from carlake.engines.manifests import live_files
from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import head_of
from carlake.settings import Settings
from carlake.upkeep.maintenance.retention import Aged, drop_records
from lakes import ALERTS, BRONZE, SILVER, STATE, rows_of


def test_rows_whose_records_retention_removed_are_kept(lake: Path) -> None:
    """Silver is made again from bronze, and what bronze has no records of any more stays as it was."""
    settings = Settings(threads=1, bronze_retention_days=1)
    later = now() + timedelta(days=10)
    with Lakehouse.open(lake, settings, clock=lambda: later) as house:
        context = house.context(trigger="maintain")
        with context.engine.session():
            bronze = context.find(BRONZE)
            assert bronze is not None
            assert drop_records(context, Aged(tuple(live_files(bronze, head_of(bronze))))) is not None
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
        runs = [run for run in house.runs().to_pylist() if run["trigger"] == "run"]
        house.rollback(str(runs[0]["run_id"]))
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
