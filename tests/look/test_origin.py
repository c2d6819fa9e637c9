"""Trace names the run that made a row, however often its file was written anew since."""

from __future__ import annotations

from pathlib import Path

from lakes import ALERTS, BRONZE, SILVER, STATE, heads, iceberg, lakehouse, nested, put


def event(car: str, event_id: str, day: int, speed: float = 120.0, processed: int | None = None) -> str:
    version = f"2025-10-{processed or day:02}T09:00:00Z"
    return nested(car, event_id, f"2025-10-{day:02}T08:00:00Z", version, trip_max_speed_kmh=speed)


def test_a_row_that_was_carried_over_keeps_its_run(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event("CAR-1", "e1", 1), event("CAR-2", "e2", 2))
        first = house.run()
        runs = []
        for n in range(3):  # each corrects e2, and writes the files anew in which e1 and CAR-1 lie
            put(house.lake.landing / f"{n + 2}.json", event("CAR-2", "e2", 2, 130.0 + n, processed=3 + n))
            runs.append(house.run())
        made = {row.table: row.written for row in house.trace("e1").gold}
        assert {made[name].run_id for name in (STATE, ALERTS)} == {first.run_id}
        assert made[STATE].snapshot_id != heads(house)[STATE]
        (one,) = house.trace("e1").events
        assert one.silver is not None and one.silver.written.run_id == first.run_id
        snapshot = iceberg(house, SILVER).metadata.snapshot_by_id(one.silver.written.snapshot_id)
        assert snapshot.summary.additional_properties["carlake.run-id"] == first.run_id
        # What was corrected is of the run that corrected it last.
        (two,) = house.trace("e2").events
        assert two.silver is not None and two.silver.written.run_id == runs[-1].run_id
        assert two.silver.written.snapshot_id == heads(house)[SILVER]


def test_a_compaction_makes_no_row(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event("CAR-1", "e1", 1))
        first = house.run()
        for name in (BRONZE, SILVER):
            table, base = house.declared[name], heads(house)[name]
            with house.engine.session():
                rows = house.engine.keep(f"SELECT * FROM {house.engine.scan(name, base)}")
                staged = house.engine.stage(table, base, None, rows, {"carlake.run-id": "compacted"}, everything=True)
                from carlake.refresh.refresh import publish

                publish(house.context(), staged)
            assert heads(house)[name] == staged.snapshot_id
        (one,) = house.trace("e1").events
        assert one.silver is not None and one.silver.written.run_id == first.run_id
        assert [record.file.written.run_id for record in one.records] == [first.run_id]


def test_where_history_is_gone_no_run_is_named(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", event("CAR-1", "e1", 1), event("CAR-2", "e2", 2))
        house.run()
        put(house.lake.landing / "2.json", event("CAR-2", "e2", 2, 130.0, processed=3))
        second = house.run()
        table = iceberg(house, SILVER)
        (old,) = [s.snapshot_id for s in table.snapshots() if s.snapshot_id != heads(house)[SILVER]]
        from pyiceberg.table.update import RemoveSnapshotsUpdate

        house.catalog.commit_table(table, (), (RemoveSnapshotsUpdate(snapshot_ids=[old]),))
        house.reopen()
        (one,) = house.trace("e1").events
        assert one.silver is not None and one.silver.written.run_id is None, "not the run that carried it over"
        (two,) = house.trace("e2").events
        assert two.silver is not None and two.silver.written.run_id == second.run_id
