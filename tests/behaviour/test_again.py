"""The same input again: nothing is read twice, nothing is written twice."""

from __future__ import annotations

import os
from pathlib import Path

from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import BRONZE, MODIFIED, SILVER, heads, held, iceberg, lakehouse, nested, put, rows_of

FLEET = Fleet(events=40, cars=3, flat=0.3, snapshot=0.2, duplicates=0.1, corrections=0.1, stale=0.1, bad=0.2)


def test_a_second_run_makes_no_snapshot_and_reads_no_file(small_folder: Path) -> None:
    simulated = write(FLEET, small_folder / "in", files=4)
    with lakehouse(small_folder / "lake") as house:
        first = house.run([str(simulated.folder)])
        assert (first.status, first.files, first.files_unchanged) == ("succeeded", 4, 0)
        assert (first.records, first.quarantined) == (simulated.records, sum(simulated.bad.values()))
        assert (first.accepted, first.duplicates) == (simulated.events, simulated.duplicates)
        before, rows = heads(house), held(house)
        # What is not read cannot be seen to have changed: same name, size and time, but other bytes.
        path = simulated.paths[1]
        content, times = path.read_bytes(), path.stat()
        path.write_bytes(b" " * len(content))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

        second = house.run([str(simulated.folder)])
        assert second.idle and second.status == "succeeded"
        assert (second.files, second.files_unchanged, second.records) == (0, 4, 0)
        assert heads(house) == before and held(house) == rows

    with lakehouse(small_folder / "lake") as house:
        assert house.run([str(simulated.folder)]).idle, "nor does another process"
        assert {name: head for name, head in heads(house).items() if name in before} == before
        assert house.runs().num_rows == 1, "a run that did nothing is not written down"


def test_known_content_under_another_name_or_time_adds_nothing(small_folder: Path) -> None:
    event = nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=3)
    with lakehouse(small_folder / "lake") as house:
        path = put(small_folder / "in" / "a.json", event)
        house.run([str(path)])
        before = heads(house)
        put(path, event, modified=MODIFIED.replace(year=2026))
        put(small_folder / "in" / "b.json", event)
        again = house.run([str(small_folder / "in")])
        assert (again.files, again.files_known, again.files_unchanged, again.records) == (2, 2, 0, 0)
        assert heads(house) == before
        verified = house.verify()
        assert verified.ok and (verified.files, verified.records, verified.duplicates) == (1, 1, 0)


def test_equal_contents_in_one_run_are_landed_once_with_the_oldest_time(small_folder: Path) -> None:
    event = nested("A", "e1", "2025-10-01T00:00:00Z")
    for name, year in (("a.json", 2024), ("b.json", 2022), ("c.json", 2023)):
        put(small_folder / "in" / name, event, modified=MODIFIED.replace(year=year))
    with lakehouse(small_folder / "lake") as house:
        report = house.run([str(small_folder / "in")])
        assert (report.files, report.files_known, report.records) == (3, 2, 1)
        [row] = rows_of(house, BRONZE)
        assert row["source_modified_at"].year == 2022 and row["source_uri"].endswith("b.json")
        assert [row["event_version"].year for row in rows_of(house, SILVER)] == [2022]


def test_an_object_without_records_is_known_and_not_read_again(small_folder: Path) -> None:
    put(small_folder / "in" / "empty.json")
    put(small_folder / "in" / "header.csv", "carChassis,telemetryTimestamp")
    with lakehouse(small_folder / "lake") as house:
        first = house.run([str(small_folder / "in")])
        assert (first.status, first.files, first.records, first.quarantined) == ("succeeded", 2, 0, 0)
        assert [(row["source_row"], row["record_hash"], row["raw"]) for row in rows_of(house, BRONZE)] == [
            (0, None, None)
        ] * 2
        before = heads(house)
        second = house.run([str(small_folder / "in")])
        assert (second.files, second.files_unchanged) == (0, 2) and heads(house) == before
        verified = house.verify()
        assert verified.ok and (verified.files, verified.records) == (2, 0)


def test_each_run_makes_one_snapshot_of_each_table_that_changed(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        for number in range(3):
            put(small_folder / "in" / f"{number}.json", nested("A", f"e{number}", f"2025-10-0{number + 1}T00:00:00Z"))
            house.run([str(small_folder / "in")])
        for name in (BRONZE, SILVER, "gold_car_current_state"):
            snapshots = iceberg(house, name).metadata.snapshots
            assert len(snapshots) == 3, name
            assert [each.parent_snapshot_id for each in snapshots] == [None, *(s.snapshot_id for s in snapshots[:2])]
