"""Maintenance: files are merged, history is cut, leftovers go, and no row changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carlake.engines.manifests import KIND, live_files
from carlake.refresh.plan import BOOKMARK, plan
from carlake.upkeep.maintenance import compaction, jobs
from carlake.upkeep.maintenance.due import Done
from carlake.upkeep.maintenance.maintain import Maintained, maintain_slice
from lakes import ALERTS, BRONZE, MONTHLY, OPS_RUNS, QUARANTINE, SILVER, STATE, TODAY, bookmark, heads, held, iceberg
from upkeep.maintained import RUNS, again, data_files, files_below, land, made, needed, opened, snapshots

ALL = (BRONZE, SILVER, QUARANTINE, STATE, MONTHLY, ALERTS, OPS_RUNS)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made(tmp_path_factory.mktemp("maintained"))


def of(result: Maintained, task: str, table: str | None = None) -> list[Done]:
    assert result.ok, result
    return [done for done in result.done if done.task == task and table in (None, done.table)]


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_all_that_is_due_is_done_and_no_row_changes(own: Path) -> None:
    with opened(own) as house:
        before, quarantined = held(house), house.quarantine().num_rows
        planned = house.plan_maintenance()
        assert {(due.task, due.table) for due in planned.due} >= {
            ("compact", SILVER), ("compact", ALERTS), ("expire", ALERTS), ("expire", STATE),
        }  # fmt: skip
        stood = {name: (snapshots(house, name), files_below(house, name)) for name in ALL}
        assert house.plan_maintenance() == planned
        assert {name: (snapshots(house, name), files_below(house, name)) for name in ALL} == stood, (
            "a plan changes nothing"
        )

        result = house.maintain()
        assert result.ok and {(due.task, due.table) for due in planned.due} <= {(d.task, d.table) for d in result.done}
        for name in ALL:
            assert len(snapshots(house, name)) <= 6, name
            assert files_below(house, name) == needed(house, name), "nothing is left over, and nothing is missing"
            assert len(iceberg(house, name).metadata.metadata_log) <= 3
        assert held(house) == before and house.quarantine().num_rows == quarantined
        found = house.verify(deep=True)
        assert found.ok and found.records == RUNS and not found.behind

        stood_heads = heads(house)
        assert house.run(today=TODAY).idle and heads(house) == stood_heads, (
            "a compaction is no news to the tables behind"
        )
        assert not house.plan_maintenance().due
        assert not house.maintain().done
        land(house, 20)
        assert house.verify().ok and house.verify().records == RUNS + 1


def test_a_slice_does_it_little_by_little(own: Path) -> None:
    with opened(own) as house:
        assert maintain_slice(house, 0).done == ()
        # Twelve snapshots are no ten more than are kept; eight small files of one month are worth a merge.
        first = maintain_slice(house, 60)
        assert {done.table for done in of(first, "compact")} >= {SILVER, ALERTS} and not of(first, "expire")
        assert not maintain_slice(house, 60).done
        for number in range(20, 26):
            land(house, number)
        # A table's snapshots stay as long as a reader's snapshots were made from them: gold goes first.
        slices = [maintain_slice(house, 60) for _ in range(3)]
        assert {done.table for each in slices for done in of(each, "expire")} >= {BRONZE, SILVER, ALERTS}
        for task in ("remove expired", "trim metadata"):
            assert sum(done.files for each in slices for done in of(each, task, SILVER))
        assert house.verify().ok


def test_more_files_than_a_slice_can_merge_become_fewer_all_the_same(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(own, compact_files=2) as house:
        sizes = sorted(file.file_size_in_bytes for file in live_files(iceberg(house, SILVER), heads(house)[SILVER]))
        assert len(sizes) == 9
        monkeypatch.setattr(jobs, "_BYTES_PER_SECOND", sum(sizes[:6]) // 60)
        counts = []
        for number in (20, 21, 22, 24, 25):
            land(house, number)
            maintain_slice(house, 60)
            counts.append(len(live_files(iceberg(house, SILVER), heads(house)[SILVER])))
        assert counts[-1] < counts[0] < 9, counts
        assert house.verify(deep=True).ok


def test_one_process_at_a_time(own: Path) -> None:
    with opened(own) as house, again(own) as other:
        from carlake.upkeep.maintenance.maintain import _alone, _folder

        with _alone(_folder(house)) as mine:
            assert mine
            assert other.maintain().busy and maintain_slice(other, 60).busy
        assert not other.maintain().busy


def test_tables_by_name(own: Path) -> None:
    with opened(own) as house:
        assert {due.table for due in house.plan_maintenance([SILVER]).due} == {SILVER}
        assert {done.table for done in house.maintain([SILVER]).done} == {SILVER}
        assert len(snapshots(house, BRONZE)) == RUNS


# -- compaction --------------------------------------------------------------------------------------------------------


def test_merged_files_are_sorted_and_carry_the_bookmark_on(own: Path) -> None:
    with opened(own) as house:
        mark, before = bookmark(house, SILVER), iceberg(house, SILVER).current_snapshot()
        [done] = of(house.maintain([SILVER]), "compact")
        assert (done.files, done.files_written) == (9, 1)
        table = iceberg(house, SILVER)
        [path] = table.inspect.files().column("file_path").to_pylist()
        rows = pq.read_table(path.removeprefix("file://"), columns=["car_chassis", "event_timestamp"]).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["car_chassis"], row["event_timestamp"])) and len(rows) == 9
        summary = table.current_snapshot().summary.additional_properties
        assert summary[KIND] == "compaction" and bookmark(house, SILVER) == mark
        assert summary[BOOKMARK] == before.summary.additional_properties[BOOKMARK]
        assert summary["carlake.commit-id"] != before.summary.additional_properties["carlake.commit-id"]


def test_a_writer_that_comes_between_is_let_through_and_the_merge_lands_on_top(own: Path) -> None:
    with opened(own) as house, again(own) as other:
        context = house.context(trigger="maintain")
        table = house.declared[SILVER]
        base = heads(house)[SILVER]
        context.find(SILVER)
        written = house.engine.rewrite(
            table, base, [*iceberg(house, SILVER).inspect.files().column("file_path").to_pylist()]
        )
        came: list[int] = []

        def between(now: object) -> bool:
            if len(came) < 2:  # after the merge has looked at main, and before its commit
                land(other, 20 + len(came))
                came.append(snapshots(house, SILVER)[-1])
            return True

        merged = compaction.publish_rewritten(context, table, written, "compaction", between)
        line = iceberg(house, SILVER).snapshots()
        assert merged == line[-1].snapshot_id and line[-1].parent_snapshot_id == came[1]
        assert data_files(house, SILVER) == 3
        assert house.run(today=TODAY).idle and house.verify().ok and house.verify().records == RUNS + 2


def test_a_file_that_was_corrected_meanwhile_is_not_brought_back(own: Path) -> None:
    with opened(own) as house, again(own) as other:
        context = house.context(trigger="maintain")
        table = house.declared[SILVER]
        context.find(SILVER)
        paths = iceberg(house, SILVER).inspect.files().column("file_path").to_pylist()
        written = house.engine.rewrite(table, snapshots(house, SILVER)[-1], paths)
        land(other, 1, processing_timestamp="2025-11-01T00:00:00Z", current_mileage_km=1.0)
        before = held(house)
        assert compaction.publish_rewritten(context, table, written, "compaction") is None
        assert held(house) == before and files_below(house, SILVER) == needed(house, SILVER)


def test_a_merge_that_would_lose_a_row_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(own) as house:
        engine = house.engine
        rewrite = engine.rewrite
        monkeypatch.setattr(
            engine, "rewrite", lambda table, base, paths: rewrite(table, base, paths, "SELECT * FROM {rows} LIMIT 3")
        )
        before = heads(house)[SILVER], files_below(house, SILVER)
        result = house.maintain([SILVER])
        [done] = [done for done in result.done if done.task == "compact"]
        assert not result.ok and "3 rows of 9" in done.error
        assert heads(house)[SILVER] == before[0]
        assert {path for path in files_below(house, SILVER) if path.endswith(".parquet")} <= before[1]


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        ([1] * 7, 0),
        ([1] * 8, 8),
        ([1] * 8 + [8], 9),
        ([1] * 8 + [9], 8),
        ([1] * 7 + [150], 0),  # one long file is not written anew for seven rows
        ([1] + [3] * 8, 9),
        ([1] * 8 + [75], 8),  # large enough to be left alone
    ],
)
def test_which_files_are_worth_a_merge(own: Path, sizes: list[int], merged: int) -> None:
    with opened(own) as house:
        [template, *_] = house.engine.load(SILVER).inspect.files().column("file_path").to_pylist()
        from carlake.engines.manifests import live_files

        [one, *_] = live_files(house.engine.load(SILVER), heads(house)[SILVER])
        assert template
    from pyiceberg.manifest import DataFile

    files = []
    for number, rows in enumerate(sizes):
        values = {"content": one.content, "file_path": f"f{number}", "file_format": one.file_format}
        file = DataFile.from_args(**values, partition=one.partition, record_count=rows, file_size_in_bytes=rows)
        file.spec_id = 0
        files.append(file)
    found = compaction.merges(files, 100, 8)
    assert sum(len(merge.files) for merge in found) == merged


def test_small_files_stay_few_and_rows_are_seldom_written_anew() -> None:
    """The scheme alone, on sizes: 5,000 commits of one row."""
    sizes: list[int] = []
    written = most = 0
    for _ in range(5000):
        sizes.append(1)
        files = [_Sized(rows) for rows in sorted(sizes)]
        count = compaction._worthwhile(files, 8)  # type: ignore[arg-type]
        if count:
            merged, sizes = sum(sorted(sizes)[:count]), sorted(sizes)[count:]
            written += merged
            sizes.append(merged)
        most = max(most, len(sizes))
    assert most <= 20 and written <= 5000 * 14


class _Sized:
    def __init__(self, rows: int) -> None:
        self.record_count = rows


# -- expiry ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("landed", "full"), [(4, False), (10, True)])
def test_history_stays_for_a_table_that_is_behind_up_to_a_limit(own: Path, landed: int, full: bool) -> None:
    with opened(own, keep_snapshots_behind=8) as house:
        stopped, before = bookmark(house, SILVER), set(snapshots(house, BRONZE))
        with again(own) as other:
            for number in range(30, 30 + landed):
                _land_bronze_alone(other, number)
        unread = set(snapshots(house, BRONZE)) - before
        house.maintain()
        kept = set(snapshots(house, BRONZE))
        assert stopped is not None and stopped.source in kept, "what it has read up to"
        assert len(unread) == landed and len(unread & kept) == (4 if full else landed), (
            "four and a compaction are the newest"
        )
        assert house.verify().ok, "each table at its own bookmark"
        _check_reads(house, full=full)


def _land_bronze_alone(house: object, number: int) -> None:
    """A file whose records reach bronze and no other table, as if those failed."""
    from carlake.landing.listing import list_landing
    from carlake.refresh.land import land as land_batch
    from lakes import put
    from upkeep.maintained import record

    path = put(house.lake.landing / f"f{number}.json", record(number % 28))  # type: ignore[attr-defined]
    with path.open("ab") as file:
        file.write(b"\n" * number)
    context = house.context()  # type: ignore[attr-defined]
    with context.engine.session():
        assert land_batch(context, list_landing(house.lake.landing).objects, shared=True).step.status == "succeeded"  # type: ignore[attr-defined]
    path.unlink()


def _check_reads(house: object, *, full: bool) -> None:
    context = house.context()  # type: ignore[attr-defined]
    table = house.declared[SILVER]  # type: ignore[attr-defined]
    refresh = plan(table, context.find(SILVER), context.find(BRONZE), TODAY)
    assert refresh is not None and (refresh.why, refresh.full) == (("history", True) if full else ("source", False))
    assert house.run(today=TODAY).status == "succeeded"  # type: ignore[attr-defined]
    found = house.verify()  # type: ignore[attr-defined]
    assert found.ok and not found.behind


def test_files_of_expired_snapshots_stay_for_readers_in_the_middle_of_them(own: Path) -> None:
    with opened(own, reader_grace_minutes=60, orphan_age_hours=24) as house:
        before = {path for path in files_below(house, SILVER) if path.endswith((".parquet", ".avro"))}
        result = house.maintain()
        assert of(result, "expire", SILVER) and not of(result, "remove expired")
        assert before <= files_below(house, SILVER), "a scan that began before goes on"
    notes = list((own / "lake/.carlake/upkeep").glob("*.departed.json"))
    assert notes
    for note in notes:
        os.utime(note, (time.time() - 3601, time.time() - 3601))
    with again(own, reader_grace_minutes=60, orphan_age_hours=24) as house:
        [done] = of(house.maintain(), "remove expired", SILVER)
        kept = needed(house, SILVER)
        assert done.files and not {path for path in before if path in files_below(house, SILVER) and path not in kept}
        assert house.verify(deep=True).ok


def test_a_release_and_what_it_was_made_from_stay(own: Path) -> None:
    with opened(own, releases_kept=10) as house:
        run = land(house, 20)
        house.settle_releases()
        was = held(house)
        later = [land(house, number) for number in range(21, 29)]
        house.maintain()
        assert house.query(f"SELECT count(*) AS n FROM {SILVER}", as_of_run=run).to_pylist() == [{"n": 10}]
        house.rollback(later[0])
        assert held(house)[SILVER] == was[SILVER]
        house.maintain()
        assert held(house)[SILVER] == was[SILVER]
        assert house.run(today=TODAY).steps, "bronze goes on"
        assert held(house)[SILVER] == was[SILVER], "a compaction carries the hold on"
        house.resume()
        assert house.run(today=TODAY).status == "succeeded"
        found = house.verify()
        assert found.ok and not found.behind and found.records == RUNS + 9


# -- what is left over -------------------------------------------------------------------------------------------------


def test_orphans_go_when_they_are_old_and_were_seen_before(own: Path) -> None:
    with opened(own, orphan_age_hours=24) as house:
        house.maintain()
        folder = Path(iceberg(house, SILVER).location().removeprefix("file://"))
        data = next((folder / "data").rglob("*.parquet")).parent
        old, young, foreign = data / "old.parquet", data / "young.parquet", data / "notes.txt"
        lost = folder / "metadata" / "lost-m0.avro"
        for path in (old, young, foreign, lost):
            path.write_bytes(b"left behind")
        for path in (old, foreign, lost):
            os.utime(path, (time.time() - 90_000, time.time() - 90_000))
        [first] = of(house.maintain(), "remove orphans")
        assert first.table == SILVER and first.files == 0 and old.exists() and lost.exists()
        os.utime(lost, (time.time() - 89_000, time.time() - 89_000))  # it is written again
        [second] = of(house.maintain(), "remove orphans")
        assert second.files == 1 and not old.exists()
        assert young.exists() and foreign.exists() and lost.exists()
        assert house.verify(deep=True).ok


def test_what_an_expiry_left_is_found_without_its_note(own: Path) -> None:
    with opened(own, reader_grace_minutes=60, orphan_age_hours=24) as house:
        house.maintain()
        for note in house.lake.root.glob(".carlake/upkeep/*"):
            note.unlink()
    with again(own) as house:
        for _ in range(3):
            assert house.maintain().ok
        for name in ALL:
            assert files_below(house, name) == needed(house, name)
        assert house.verify(deep=True).ok


def test_former_metadata_files(own: Path) -> None:
    with opened(own) as house:
        table = iceberg(house, SILVER)
        folder = Path(table.metadata_location.removeprefix("file://")).parent
        assert len(list(folder.glob("*.metadata.json"))) == RUNS + 1
        house.maintain()
        table = iceberg(house, SILVER)
        names = {path.name for path in folder.glob("*.metadata.json")}
        logged = {entry.metadata_file.rpartition("/")[2] for entry in table.metadata.metadata_log}
        assert names == logged | {table.metadata_location.rpartition("/")[2]} and len(names) == 4
        # A version that is still to come may be another writer's, on its way.
        coming = folder / f"{99:05d}-00000000-0000-4000-8000-000000000000.metadata.json"
        coming.write_text("{}")
        house.maintain([SILVER])
        assert coming.exists()


def test_rows_of_old_runs_go(own: Path) -> None:
    with opened(
        own, keep_runs_days=25
    ) as house:  # the clock stands at the first of November, the runs began in October
        before = house.runs(limit=100)
        assert before.num_rows == RUNS
        assert of(house.maintain([OPS_RUNS]), "prune runs")[0].rows == 6 * 6
        assert house.runs(limit=100).column("run_id").to_pylist() == before.column("run_id").to_pylist()[:6]
        assert not house.plan_maintenance([OPS_RUNS]).due


def test_scratch_of_processes_that_are_gone(own: Path) -> None:
    with opened(own) as house:
        house.engine.rows("SELECT 1")
        mine = set(house.lake.scratch.glob("duckdb-*"))
        gone = house.lake.scratch / f"duckdb-{2**22 + 7}-x"
        gone.mkdir()
        [done] = of(house.maintain(), "clear scratch")
        assert done.files == 1 and not gone.exists() and mine <= set(house.lake.scratch.iterdir())


def test_a_commit_whose_file_was_removed_meanwhile_is_refused_and_planned_again(own: Path) -> None:
    from carlake.errors import CommitRefusedError
    from carlake.refresh.commit import commit

    with opened(own) as house:
        table, context = house.declared[SILVER], house.context()
        context.find(SILVER)
        base = heads(house)[SILVER]
        rows = house.engine.scan(SILVER, base)
        with house.engine.session():
            staged = house.engine.stage(table, base, None, f"(SELECT * FROM {rows} LIMIT 1)", {KIND: "refresh"})
            Path(staged.data_files[0].removeprefix("file://")).unlink()
            with pytest.raises(CommitRefusedError, match="is gone before its commit"):
                commit(house.catalog, iceberg(house, SILVER), staged)
        assert heads(house)[SILVER] == base and house.verify(deep=True).ok


def test_a_snapshot_that_another_program_expired_is_no_failure(own: Path) -> None:
    from carlake.errors import CommitRefusedError
    from carlake.upkeep.maintenance import expiry

    with opened(own) as house:
        context = house.context(trigger="maintain")
        context.find(SILVER)
        going = snapshots(house, SILVER)[:2]
        with iceberg(house, SILVER).maintenance.expire_snapshots() as expiring:
            expiring.by_ids(going[:1])
        with pytest.raises(CommitRefusedError, match="does not exist"):
            expiry.expire(context, SILVER, going, house.lake.root / ".carlake/upkeep", 3)
        assert house.maintain().ok and house.verify(deep=True).ok
