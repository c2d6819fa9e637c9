"""What each snapshot says of itself, and what becomes of a snapshot that another program made."""

from __future__ import annotations

import re
from pathlib import Path

from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import BOOKMARK, Bookmark
from carlake.version import VERSION
from lakes import (
    ALERTS,
    BRONZE,
    MONTHLY,
    OPS_RUNS,
    QUARANTINE,
    SILVER,
    STATE,
    TODAY,
    heads,
    held,
    iceberg,
    nested,
    put,
    rows_of,
    step,
    without_tags,
)

SOURCES = {SILVER: BRONZE, QUARANTINE: BRONZE, STATE: SILVER, MONTHLY: SILVER, ALERTS: SILVER}


def test_each_snapshot_carries_its_bookmark_and_who_made_it(house: Lakehouse) -> None:
    runs = house.runs().column("run_id").to_pylist()
    assert len(runs) == 3
    for name in heads(house):
        for snapshot in iceberg(house, name).snapshots():
            summary = snapshot.summary.additional_properties
            mark = Bookmark.of(snapshot)
            assert mark is not None and mark.definition == house.declared[name].definition
            assert summary["carlake.version"] == VERSION and summary["carlake.engine"] == "duckdb"
            assert re.fullmatch("[0-9a-f]{32}", summary["carlake.commit-id"])
            kind = {BRONZE: "land", OPS_RUNS: "log"}.get(name, "refresh")
            assert summary["carlake.kind"] == kind
            assert name == OPS_RUNS or summary["carlake.run-id"] in runs
            if name in SOURCES:
                assert mark.day == TODAY
    for name, source in SOURCES.items():
        made_from = [Bookmark.of(snapshot).source for snapshot in iceberg(house, name).snapshots()]  # type: ignore[union-attr]
        line = [snapshot.snapshot_id for snapshot in iceberg(house, source).snapshots()]
        assert made_from == line, "every snapshot was made from the source's snapshot of its own run"
        assert iceberg(house, name).inspect.history()["is_current_ancestor"].to_pylist() == [True] * 3
    commits = [
        s.summary.additional_properties["carlake.commit-id"] for n in SOURCES for s in iceberg(house, n).snapshots()
    ]
    assert len(set(commits)) == len(commits)


def test_a_foreign_append_is_healed_by_the_next_run(house: Lakehouse) -> None:
    before = held(house)
    for name in (SILVER, QUARANTINE, ALERTS):
        table = iceberg(house, name)
        table.append(table.scan().to_arrow().slice(0, 3))
    assert {(each.table, each.kind) for each in house.verify().problems} >= {(SILVER, "foreign writer")}
    report = house.run()
    assert [step(report, name).why for name in (SILVER, QUARANTINE, ALERTS)] == ["foreign"] * 3
    assert step(report, SILVER).rows_removed == 3 and step(report, SILVER).rows_out == 0
    assert held(house) == before and house.verify().ok
    assert house.run().idle


def test_a_foreign_edit_and_a_foreign_delete_are_healed_too(house: Lakehouse) -> None:
    before = held(house)
    state = iceberg(house, STATE)
    edited = state.scan().to_arrow().to_pylist()
    edited[0]["current_mileage_km"] = -1.0
    state.overwrite(state.scan().to_arrow().from_pylist(edited, schema=state.scan().to_arrow().schema))
    iceberg(house, SILVER).delete(f"car_chassis = '{edited[1]['car_chassis']}'")
    report = house.run()
    assert report.status == "succeeded"
    assert held(house) == before and house.verify().ok


def test_rows_that_bronze_has_lost_are_lost_everywhere_and_older_versions_come_back(house: Lakehouse) -> None:
    """Whoever takes records out of bronze: silver is what is left of it, not what it once held."""
    versions = [
        nested("Z", "e1", "2025-08-01T00:00:00Z", "2025-10-01T00:00:00Z", trip_distance_km=1),
        nested("Z", "e1", "2025-09-01T00:00:00Z", "2025-10-02T00:00:00Z", trip_distance_km=2, engine_temp_celsius=120),
    ]
    for number, text in enumerate(versions):
        put(house.lake.landing / f"{number}.json", text)
    put(house.lake.landing / "z.json", nested("Z", "e2", "2025-10-01T00:00:00Z"), "not json")
    house.run()
    newest = next(row for row in rows_of(house, BRONZE) if row["raw"] == versions[1])
    iceberg(house, BRONZE).delete(f"source_id = '{newest['source_id']}'")
    only = next(row for row in rows_of(house, BRONZE) if row["raw"] == "not json")
    iceberg(house, BRONZE).delete(f"source_id = '{only['source_id']}'")
    quarantined = len(rows_of(house, QUARANTINE))
    report = house.run()
    assert report.status == "succeeded" and step(report, SILVER).why == "source"
    assert [row["trip_distance_km"] for row in rows_of(house, SILVER) if row["car_chassis"] == "Z"] == [1.0]
    assert [row["year_month"] for row in rows_of(house, MONTHLY) if row["car_chassis"] == "Z"] == ["2025-08"]
    assert "Z" not in {row["car_chassis"] for row in rows_of(house, ALERTS)}
    assert len(rows_of(house, QUARANTINE)) == quarantined - 1
    assert {each.kind for each in house.verify().problems} == {"archived object missing"}


def test_a_bookmark_that_cannot_be_read_is_none(house: Lakehouse) -> None:
    before = held(house)
    state = iceberg(house, STATE)
    state.append(state.scan().to_arrow().slice(0, 1), snapshot_properties={BOOKMARK: '{"source": 1'})
    assert step(house.run(), STATE).why == "foreign"
    assert held(house) == before


def test_a_bookmark_that_is_no_ancestor_makes_the_table_anew(house: Lakehouse) -> None:
    before = held(house)
    state = iceberg(house, STATE)
    mark = Bookmark.of(state.current_snapshot())
    assert mark is not None
    lost = Bookmark(123456789, mark.definition, mark.day, mark.parts)
    state.append(state.scan().to_arrow().slice(0, 1), snapshot_properties={BOOKMARK: lost.to_text()})
    assert step(house.run(), STATE).why == "history"
    assert held(house) == before and house.verify().ok


def test_a_table_that_was_dropped_is_made_again(house: Lakehouse) -> None:
    before, quarantined = held(house), len(rows_of(house, QUARANTINE))
    for name in (SILVER, QUARANTINE, STATE):
        house.catalog.drop_table(f"carlake.{name}")
    assert house.run().status == "succeeded"
    assert held(house) == before and len(rows_of(house, QUARANTINE)) == quarantined
    assert house.verify().ok


def test_a_table_whose_snapshot_is_gone_from_the_source_reads_on(house: Lakehouse, small_folder: Path) -> None:
    """Expired history: what a bookmark names may be gone from the source's metadata."""
    first = iceberg(house, SILVER).snapshots()[0].snapshot_id
    head = heads(house)[SILVER]
    without_tags(iceberg(house, SILVER)).maintenance.expire_snapshots().by_id(first).commit()
    path = put(small_folder / "new.json", nested("A", "e", "2025-10-01T00:00:00Z", engine_temp_celsius=120))
    report = house.run([str(path)])
    assert [step(report, name).why for name in (STATE, MONTHLY, ALERTS)] == ["source"] * 3
    assert iceberg(house, SILVER).current_snapshot().parent_snapshot_id == head
    assert house.verify().ok
