"""Tables made again: from their source, and bronze from the archive. Readers never see a half, no version flips."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from carlake.engines.manifests import KIND, live_files
from carlake.errors import CarlakeError, SettingsError
from carlake.lakehouse import Lakehouse
from carlake.landing.landed import LandedObject
from carlake.refresh import lease
from carlake.settings import Settings
from carlake.upkeep.recovery import from_archive
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    OPS_RUNS,
    SILVER,
    STATE,
    clear,
    expected,
    flat,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    step,
)

from .conftest import DERIVED, RUNS, Ran, folder_in_memory

LATER = datetime(2025, 11, 1, 9, tzinfo=UTC)


def damage(house: Lakehouse, name: str) -> None:
    """Cut every data file of a table short."""
    table = iceberg(house, name)
    for file in live_files(table, table.current_snapshot().snapshot_id):
        path = Path(file.file_path.removeprefix("file://"))
        path.write_bytes(path.read_bytes()[:100])


def test_a_table_is_made_again_though_it_is_right(ran: Ran) -> None:
    before = heads(ran.house)
    report = ran.house.rebuild([STATE])
    assert report.status == "succeeded" and step(report, STATE).why == "asked"
    after = heads(ran.house)
    assert {name for name in DERIVED if after[name] != before[name]} == {STATE}
    table = iceberg(ran.house, STATE)
    assert table.current_snapshot().parent_snapshot_id == before[STATE], "one snapshot, on top of what was"
    old = {file.file_path for file in live_files(table, before[STATE])}
    assert old.isdisjoint(file.file_path for file in live_files(table, after[STATE])), "of new files alone"
    assert ran.now == ran.states[4] and ran.house.verify().problems == ()


def test_all_tables_are_made_again_and_without_names_only_what_changed(ran: Ran) -> None:
    before = heads(ran.house)
    assert ran.house.rebuild().idle and heads(ran.house) == before
    report = ran.house.rebuild(everything=True)
    assert [step(report, name).status for name in DERIVED] == ["succeeded"] * len(DERIVED)
    after = heads(ran.house)
    assert all(after[name] != before[name] for name in DERIVED) and after[BRONZE] == before[BRONZE]
    assert ran.now == ran.states[4]
    assert ran.house.run().idle, "nothing is left to do"


def test_rows_and_files_that_are_wrong_do_not_survive(ran: Ran) -> None:
    table = iceberg(ran.house, ALERTS)
    table.append(table.scan().to_arrow().slice(0, 1))
    damage(ran.house, SILVER)
    damage(ran.house, STATE)
    report = ran.house.rebuild(everything=True)
    assert report.status == "succeeded"
    assert ran.now == ran.states[4] and ran.house.verify().problems == ()


def test_what_cannot_be_made_again_is_refused(ran: Ran) -> None:
    for names, how, told in (
        ([OPS_RUNS], {}, "made from no other"),
        ([BRONZE], {}, "--from archive"),
        ([SILVER], {"from_archive": True}, "--all --from archive"),
    ):
        with pytest.raises(SettingsError, match=told):
            ran.house.rebuild(names, **how)
    assert ran.house.run().idle


@pytest.fixture(scope="module")
def _landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = folder_in_memory(tmp_path_factory)
    with lakehouse(folder / "lake") as house:
        landing = house.lake.landing
        put(landing / "a" / "one.json", *RUNS[0])
        put(landing / "flat.json", flat("F", "2025-10-01T00:00:00Z", engine_temp_celsius=50))
        house.run()
        # The same flat event again, later in time: of two versions the one of the later object counts.
        put(landing / "flat2.json", flat("F", "2025-10-01T00:00:00Z", engine_temp_celsius=60), modified=LATER)
        put(landing / "again.json", *RUNS[0], modified=LATER)
        put(landing / "empty.json", "")
        house.run()
        house.run([str(put(folder / "elsewhere.json", *RUNS[1]))])
        assert house.verify().ok
    shutil.copytree(folder / "lake", folder / "kept")
    yield folder
    clear(folder)


@pytest.fixture
def archived(_landed: Path) -> Lakehouse:
    """Objects that came through landing, one twice with another time, and one that was landed from elsewhere."""
    clear(_landed / "lake")
    shutil.copytree(_landed / "kept", _landed / "lake")
    return lakehouse(_landed / "lake")


def test_bronze_is_made_again_from_the_archive_to_the_same_rows(archived: Lakehouse) -> None:
    with archived as house:
        rows, tables = rows_of(house, BRONZE), held(house)
        before = heads(house)
        plan = house.plan_from_archive()
        # The empty object's marker row says nothing that the archive does: it stays.
        assert (len(plan.again), len(plan.missing), plan.kept, plan.closed) == (3, 0, 1, 1)
        assert heads(house) == before
        report = house.rebuild([BRONZE], from_archive=True)
        assert report.status == "succeeded" and step(report, BRONZE).rows_in == 5
        assert any("1 object is not in the archive" in note for note in report.notes)
        assert rows_of(house, BRONZE) == rows, "where from, when landed and as of when included"
        table = iceberg(house, BRONZE)
        assert table.current_snapshot().parent_snapshot_id == before[BRONZE]
        assert held(house) == tables and house.verify().ok
        everything = house.rebuild(everything=True, from_archive=True)
        assert everything.status == "succeeded" and rows_of(house, BRONZE) == rows
        assert held(house) == tables and house.verify().ok


def test_a_record_that_another_program_changed_comes_back(archived: Lakehouse) -> None:
    with archived as house:
        rows, tables = rows_of(house, BRONZE), held(house)
        table = iceberg(house, BRONZE)
        arrow = table.scan().to_arrow()
        forged = [None if raw is None else raw.replace("120", "1") for raw in arrow["raw"].to_pylist()]
        place = arrow.schema.get_field_index("raw")
        table.overwrite(
            arrow.set_column(place, arrow.schema.field(place), pa.array(forged, arrow.schema.field(place).type))
        )
        assert not house.verify().ok
        report = house.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded"
        assert rows_of(house, BRONZE) == rows
        assert held(house) == tables and house.verify().ok


def test_archived_objects_that_bronze_does_not_hold_are_landed(archived: Lakehouse) -> None:
    with archived as house:
        records = [record for record in rows_of(house, BRONZE) if record["record_hash"]]
        tables = held(house)
        iceberg(house, BRONZE).delete("car_chassis = 'F'")
        house.run()
        assert held(house) != tables
        report = house.rebuild([BRONZE], from_archive=True)
        assert report.status == "succeeded" and report.files == 2
        found = [record for record in rows_of(house, BRONZE) if record["record_hash"]]
        when = ("source_id", "source_row", "source_modified_at", "raw", "record_hash")
        assert [[row[name] for name in when] for row in found] == [[row[name] for name in when] for row in records]
        assert held(house) == tables and house.verify().ok


def test_a_damaged_copy_in_the_archive_takes_no_record_away(archived: Lakehouse) -> None:
    with archived as house:
        rows = rows_of(house, BRONZE)
        (copy,) = house.lake.archive.glob("*/*/flat.json")
        times = copy.stat()
        copy.write_bytes(b"{}")
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        report = house.rebuild([BRONZE], from_archive=True)
        assert report.status == "succeeded" and any(str(copy) in note for note in report.notes)
        assert rows_of(house, BRONZE) == rows


def test_bronze_that_cannot_be_read_is_for_recover(archived: Lakehouse) -> None:
    with archived as house:
        before = heads(house)
        damage(house, BRONZE)
        with pytest.raises(CarlakeError, match="cannot be read") as error:
            house.rebuild([BRONZE], from_archive=True)
        assert "carlake recover" in error.value.advice and heads(house) == before


def test_an_object_that_lands_meanwhile_is_kept(archived: Lakehouse, small_folder: Path) -> None:
    """Another process lands between reading and committing: the guard refuses, and its rows are taken along."""
    with archived as house, lakehouse(house.lake.root) as other:
        late = nested("Z", "e1", "2025-10-09T00:00:00Z", engine_temp_celsius=150)
        commit, landed = house.catalog.commit_table, []

        def commit_later(table: object, *rest: object) -> object:
            if not landed:
                landed.append(other.run([str(put(small_folder / "late.json", late))]))
            return commit(table, *rest)

        house.catalog.commit_table = commit_later
        report = house.rebuild([BRONZE], from_archive=True)
        assert report.status == "succeeded" and step(report, BRONZE).refusals == 1
        assert [row["car_chassis"] for row in rows_of(house, BRONZE)].count("Z") == 1
        assert [row["event_id"] for row in rows_of(house, SILVER)].count("e1") == 4
        assert house.verify().ok


def test_a_car_that_is_forgotten_meanwhile_stays_forgotten(
    archived: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process forgets it after bronze was looked at: the archive's copy, listed before, has it in clear."""
    with archived as house, lakehouse(house.lake.root) as other:
        listed, forgotten = from_archive.archived, list[bool]()

        def list_and_forget(archive: str) -> Iterator[tuple[str, list[LandedObject]]]:
            found = list(listed(archive))
            if not forgotten:
                # The erasure has not reached the archive yet.
                aside = house.lake.archive.rename(small_folder / "aside")
                forgotten.append(other.forget("F") is not None)
                clear(house.lake.archive)
                aside.rename(house.lake.archive)
            return iter(found)

        monkeypatch.setattr(from_archive, "archived", list_and_forget)
        report = house.rebuild(everything=True, from_archive=True)
        assert forgotten == [True] and report.status == "succeeded"
        held_of = [*rows_of(house, BRONZE), *(row for name in held(house) for row in rows_of(house, name))]
        assert not [row for row in held_of if row.get("car_chassis") == "F"]
        assert not [row for row in rows_of(house, BRONZE) if '"F"' in str(row["raw"])]
        assert step(report, BRONZE).refusals == 1


def test_what_lands_or_is_compacted_meanwhile_is_no_reason_to_begin_again(
    archived: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maintenance and landings never end, a rebuild must."""
    with archived as house, lakehouse(house.lake.root, Settings(threads=1, maintenance="off")) as other:
        listed, looks = from_archive.archived, list[str]()

        def list_while_others_work(archive: str) -> Iterator[tuple[str, list[LandedObject]]]:
            found = list(listed(archive))
            late = nested("Z", f"z{len(looks)}", "2025-10-09T00:00:00Z")
            other.run([str(put(small_folder / f"late{len(looks)}.json", late))])
            looks.append(str(other.maintain([BRONZE])))
            return iter(found)

        monkeypatch.setattr(from_archive, "archived", list_while_others_work)
        monkeypatch.setattr(lease, "MOST_REFUSALS", 5)
        before = heads(house)[BRONZE]
        remade = house.rebuild([BRONZE], from_archive=True)
        line = iceberg(house, BRONZE).metadata.snapshots
        kinds = [each.summary.additional_properties[KIND] for each in line]
        after = [each.snapshot_id for each in line].index(before)
        assert step(remade, BRONZE).refusals == 0, kinds[after:]
        assert "compaction" in kinds[after:] and "land" in kinds[after:]
        assert [row["car_chassis"] for row in rows_of(house, BRONZE)].count("Z") == len(looks)
        assert house.verify().ok


def test_a_rebuild_of_gold_beside_the_model(archived: Lakehouse) -> None:
    with archived as house:
        house.rebuild(everything=True)
        landed = [(record, MODIFIED) for record in (*RUNS[0], *RUNS[1])]
        landed += [
            (flat("F", "2025-10-01T00:00:00Z", engine_temp_celsius=50), MODIFIED),
            (flat("F", "2025-10-01T00:00:00Z", engine_temp_celsius=60), LATER),
        ]
        assert held(house) == expected(landed)
