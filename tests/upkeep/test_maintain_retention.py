"""Retention: bronze and the archive keep less, the ledger stays whole, and no table loses a row by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import BOOKMARK
from carlake.refresh.refresh import publish
from carlake.settings import Settings
from carlake.upkeep.maintenance.due import Done
from lakes import (
    BRONZE,
    QUARANTINE,
    SILVER,
    TODAY,
    bookmark,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
)
from upkeep.maintained import RUNS, again, files_below, land, made, needed, opened, record, snapshots

# The runs were on the first to the twelfth of October, the clock stands at noon of the first of November.
KEPT_DAYS = 25  # from the seventh on
REMOVED = 6


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made(tmp_path_factory.mktemp("retained"))


def retain(house: Lakehouse) -> Done:
    result = house.maintain()
    assert result.ok, result
    [done] = [done for done in result.done if done.task == "retain records"]
    return done


def quarantined(house: Lakehouse) -> list[object]:
    return [(row["source_id"], row["source_row"], row["reason"], row["raw"]) for row in rows_of(house, QUARANTINE)]


def bronze(house: Lakehouse) -> tuple[int, int]:
    """Records and marker rows."""
    rows = house.query(f"SELECT count(record_hash) AS n, count(*) - count(record_hash) AS m FROM {BRONZE}").to_pylist()
    return rows[0]["n"], rows[0]["m"]


def test_old_records_go_and_everything_else_stays(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        before, refused = held(house), quarantined(house)
        [due] = [due for due in house.plan_maintenance().due if due.task == "retain records"]
        assert 0 < due.rows <= REMOVED and "2025-10-07" in due.why and "Silver and quarantine keep" in due.why
        retain(house)
        assert bronze(house) == (RUNS - REMOVED, REMOVED)
        assert held(house) == before and quarantined(house) == refused
        found = house.verify()
        assert found.ok and (found.files, found.records) == (RUNS, RUNS - REMOVED)
        report = house.run(today=TODAY)
        assert sum(each.rows_out + each.rows_removed for each in report.steps) == 0, "no row has changed"
        assert held(house) == before and quarantined(house) == refused
        found = house.verify()
        assert found.ok and (found.files, found.records, found.retained) == (RUNS, RUNS - REMOVED, REMOVED)
        assert found.duplicates == 0 and not found.behind


def test_a_row_that_is_there_twice_is_found_though_its_record_is_gone(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        retain(house)
        house.run(today=TODAY)  # which reads bronze as it is now
        head, mark = heads(house)[QUARANTINE], bookmark(house, QUARANTINE)
        assert mark is not None
        with house.engine.session():
            gone = f"SELECT source_id FROM {house.engine.scan(BRONZE, heads(house)[BRONZE])} WHERE record_hash IS NULL"
            rows = house.engine.scan(QUARANTINE, head)
            once = house.engine.keep(f"SELECT * FROM {rows} WHERE source_id IN ({gone}) ORDER BY source_id LIMIT 1")
            assert house.engine.count(once) == 1
            key = " / ".join(str(part) for part in house.engine.rows(f"SELECT source_id, source_row FROM {once}")[0])
            staged = house.engine.stage(house.declared[QUARANTINE], head, None, once, {BOOKMARK: mark.to_text()})
            publish(house.context(), staged)
        [problem] = house.verify().problems
        assert (problem.table, problem.kind, problem.keys) == (QUARANTINE, "key more than once", (key,))


def test_the_records_leave_the_disk_with_the_last_snapshot_that_holds_them(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        table = iceberg(house, BRONZE)
        paths = table.inspect.files().column("file_path").to_pylist()
        retain(house)
        for number in range(20, 26):
            land(house, number)
        house.maintain()
        there = [path for path in paths if Path(path.removeprefix("file://")).exists()]
        assert len(there) == RUNS - REMOVED
        assert bronze(house) == (RUNS - REMOVED + 6, REMOVED)
        assert files_below(house, BRONZE) == needed(house, BRONZE) and house.verify(deep=True).ok


def test_the_ledger_stays_whole(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        retain(house)
        stood = heads(house)
        put(house.lake.landing / "again.json", record(0))
        report = house.run(today=TODAY)
        assert (report.files_known, report.records) == (1, 0) and heads(house)[BRONZE] == stood[BRONZE]
        assert house.verify().ok


@pytest.mark.parametrize("table", [SILVER, QUARANTINE])
def test_a_table_that_is_made_anew_keeps_the_rows_of_removed_records(own: Path, table: str) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        before, refused = held(house), quarantined(house)
        retain(house)
        assert house.rebuild([table], today=TODAY).status == "succeeded"
        assert held(house) == before and quarantined(house) == refused
        assert house.verify().ok


def test_a_full_refresh_keeps_them_and_undoes_a_foreign_edit(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        before, refused = held(house), quarantined(house)
        retain(house)
        for name in (SILVER, QUARANTINE):
            table = iceberg(house, name)
            rows = table.scan().to_arrow()
            # Another program writes the newest record's row a second time, and leaves no bookmark.
            place = rows.column("source_id").to_pylist().index(_newest(house, name))
            table.append(rows.slice(place, 1))
            assert bookmark(house, name) is None
        report = house.run(today=TODAY)
        assert step(report, SILVER).why == step(report, QUARANTINE).why == "foreign"
        assert held(house) == before and quarantined(house) == refused
        assert house.verify().ok


def _newest(house: Lakehouse, name: str) -> str:
    sql = f"SELECT t.source_id FROM {name} AS t JOIN {BRONZE} AS b USING (source_id) WHERE b.record_hash IS NOT NULL"
    return str(house.query(f"{sql} ORDER BY b.ingested_at DESC LIMIT 1").to_pylist()[0]["source_id"])


def test_a_newer_version_still_wins_and_a_repeat_changes_nothing(own: Path) -> None:
    with opened(own, bronze_retention_days=KEPT_DAYS) as house:
        retain(house)
        land(house, 1, processing_timestamp="2025-11-01T00:00:00Z", current_mileage_km=1.0)
        [row] = [row for row in held(house)[SILVER] if row["event_id"] == "e1"]
        assert row["current_mileage_km"] == 1.0 and house.verify().ok
        before = held(house)
        put(house.lake.landing / "older.json", record(2, color="red", processing_timestamp="2025-01-01T00:00:00Z"))
        assert house.run(today=TODAY).records == 1
        assert held(house) == before, "an older version of an event whose record is gone does not win"
        assert house.verify().ok


def test_records_that_a_table_has_not_read_wait(own: Path) -> None:
    with opened(own, bronze_retention_days=1, contracts_off=("car_snapshot",)) as house:  # another definition of silver
        now = datetime(2025, 10, 20, tzinfo=UTC)
        house.clock = lambda: now
        put(house.lake.landing / "f20.json", record(20))
        report = house.run(today=TODAY)
        assert step(report, SILVER).status == "left" and step(report, BRONZE).status == "succeeded"
        now = datetime(2025, 11, 1, tzinfo=UTC)
        retain(house)
        # Silver keeps five snapshots, so what came with the four newest of them may have to be read again, too.
        assert bronze(house) == (5, 8), "not the one that silver has not read"
    with again(own, bronze_retention_days=1) as house:
        assert house.run(today=TODAY).status == "succeeded" and house.verify().ok
        retain(house)
        assert bronze(house) == (4, 9) and house.verify().ok


def test_records_that_a_release_may_return_to_wait(own: Path) -> None:
    with opened(own, releases_kept=3) as house:
        land(house, 20)
        house.settle_releases()
        later = [land(house, number) for number in (21, 22)]
        house.settle_releases()
        was = held(house)
    with again(own, releases_kept=3, bronze_retention_days=1) as house:
        house.clock = lambda: datetime(2025, 11, 20, tzinfo=UTC)
        retain(house)
        assert bronze(house) == (4, RUNS - 1), "what came after the oldest release may have to be read again"
        house.rollback(later[0])
        house.resume()
        assert house.run(today=TODAY).status == "succeeded" and held(house) == was
        assert house.verify().ok


def test_bronze_cannot_lose_a_record_to_a_writer_that_comes_between(own: Path) -> None:
    from carlake.upkeep.maintenance import retention
    from carlake.upkeep.maintenance.jobs import Upkeep
    from carlake.upkeep.maintenance.old_runs import cutoff

    with opened(own, bronze_retention_days=KEPT_DAYS) as house, again(own) as other:
        context = house.context(trigger="maintain")
        upkeep = Upkeep(house, context, house.lake.root, thorough=True)
        table = upkeep.table(BRONZE)
        assert table is not None
        found = retention.aged(table, cutoff(house.clock(), KEPT_DAYS), {})
        land(other, 20)
        with context.engine.session():
            assert retention.drop_records(context, found) == 0, "six objects of one record each leave six marker rows"
        assert bronze(house) == (RUNS - REMOVED + 1, REMOVED)
        assert house.run(today=TODAY).status == "succeeded" and house.verify().ok


def test_old_archived_objects_go_if_bronze_knows_them(own: Path) -> None:
    with opened(own, archive_retention_days=KEPT_DAYS) as house:
        stray = house.lake.archive / "2025-10-02" / ("0" * 64) / "stray.json"
        stray.parent.mkdir(parents=True)
        stray.write_text("{}")
        days = sorted(path.name for path in house.lake.archive.iterdir())
        assert len(days) == RUNS
        [due] = [due for due in house.plan_maintenance().due if due.task == "retain archive"]
        assert due.files == REMOVED and str(stray.parent) in due.why
        assert house.maintain().ok
        assert sorted(path.name for path in house.lake.archive.iterdir()) == ["2025-10-02", *days[REMOVED:]]
        assert stray.exists() and list((house.lake.archive / "2025-10-02").rglob("*.json")) == [stray]
        stray.unlink()
        assert house.verify().ok and len(snapshots(house, BRONZE)) <= 6


def test_off_by_default(own: Path) -> None:
    with opened(own) as house:
        house.clock = lambda: datetime(2035, 1, 1, tzinfo=UTC)
        assert not {due.task for due in house.plan_maintenance().due} & {"retain records", "retain archive"}


def test_an_object_that_a_merge_cut_apart_goes_as_a_whole(tmp_path: Path) -> None:
    """One file of a day may go and the other waits: then both wait, or records of the object would come back twice."""
    now = [datetime.now(UTC).replace(hour=6)]
    plain: dict[str, Any] = {"threads": 1, "maintenance": "off", "releases_kept": 0, "releases_days": 0}
    more: dict[str, Any] = {
        "target_file_bytes": 1 << 20,
        "bronze_retention_days": 1,
        "keep_snapshots": 5,
        "reader_grace_minutes": 0,
    }
    with lakehouse(tmp_path / "lake", Settings(**plain | more)) as house:
        house.clock = lambda: now[0]
        for number in range(6):
            lines = [
                nested(f"C{number}", f"e{each}", "2025-10-01T10:00:00Z") if each % 40 else f"{{bad {number} {each}"
                for each in range(4800)
            ]
            put(house.lake.landing / f"o{number}.json", *lines)
            house.run(today=TODAY)
        house.maintain()
        put(house.lake.landing / "s.json", nested("S", "s", "2025-10-01T00:00:00Z"))
        house.run(today=TODAY)
        house.maintain()
        now[0] += timedelta(days=3)
        house.maintain()
        assert house.verify().ok
        house.rebuild([QUARANTINE], today=TODAY)
        keys = [(row["source_id"], row["source_row"]) for row in rows_of(house, QUARANTINE)]
        assert len(keys) == len(set(keys)) == 6 * 120 and house.verify().ok
        house.run(today=TODAY)
        house.maintain()
        assert house.verify().ok and len(rows_of(house, QUARANTINE)) == 6 * 120
