"""Bad input is never lost, never fatal, never silent: every fault there is, and its neighbours."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from carlake.settings import Settings
from carlake.simulator.faults import FAULTS
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet, records
from lakes import BRONZE, QUARANTINE, SILVER, heads, iceberg, lakehouse, nested, put, rows_of


def test_every_fault_is_in_quarantine_by_its_reason_and_every_neighbour_in_silver(small_folder: Path) -> None:
    simulated = write(Fleet(events=150, cars=4, bad=0.3, corrections=0.1), small_folder / "in", format="mixed")
    with lakehouse(small_folder / "lake") as house:
        report = house.run([str(simulated.folder)])
        assert (report.status, report.problems) == ("succeeded", ())
        assert (report.files, report.files_known) == (len(simulated.paths), len(simulated.paths) - simulated.contents)
        counts = (simulated.records, simulated.events, sum(simulated.bad.values()), simulated.duplicates)
        assert (report.records, report.accepted, report.quarantined, report.duplicates) == counts
        quarantined = rows_of(house, QUARANTINE)
        assert Counter(row["reason"] for row in quarantined) == simulated.bad
        assert {fault.reason for fault in FAULTS} < set(simulated.bad), "no fault is left out"
        assert all(row["detail"] for row in quarantined)

        verified = house.verify()
        assert (verified.problems, verified.behind) == ((), ())
        assert (verified.records, verified.accepted, verified.quarantined, verified.duplicates) == counts
        before = heads(house)
        again = house.run([str(simulated.folder)])
        assert again.idle and again.records == 0 and heads(house) == before


def test_records_are_kept_as_they_came_byte_by_byte(small_folder: Path) -> None:
    lines = [
        record.text if isinstance(record.text, bytes) else record.text.encode()
        for record in records(Fleet(events=40, cars=2, bad=0.6))
    ]
    with lakehouse(small_folder / "lake") as house:
        house.run([str(put(small_folder / "a.ndjson", *lines))])
        rows = rows_of(house, BRONZE)
        assert [row["raw_bytes"] if row["raw"] is None else row["raw"].encode() for row in rows] == lines
        assert any(row["raw_bytes"] is not None for row in rows)
        for row in rows_of(house, QUARANTINE):
            # Text that is none is shown with its bytes written out.
            shown = lines[row["source_row"]].decode(errors="backslashreplace")
            assert row["raw"] == shown


def test_a_repaired_file_is_simply_landed_again(small_folder: Path) -> None:
    broken = nested("A", "e1", "2025-10-01T00:00:00Z", engine_temp_celsius="hot")
    with lakehouse(small_folder / "lake") as house:
        house.run([str(put(small_folder / "a.json", broken, nested("A", "e2", "2025-10-01T00:00:00Z")))])
        [row] = rows_of(house, QUARANTINE)
        assert (row["reason"], row["contract"], row["event_id"]) == ("bad_type", "car_event", "e1")
        assert "engine_temp_celsius" in row["detail"] or "engineTempCelsius" in row["detail"]
        repaired = json.dumps(json.loads(row["raw"])).replace('"hot"', "99")
        report = house.run([str(put(small_folder / "b.json", repaired))])
        assert (report.accepted, report.quarantined) == (1, 0)
        assert [row["event_id"] for row in rows_of(house, SILVER)] == ["e1", "e2"]
        assert len(rows_of(house, QUARANTINE)) == 1, "what came stays known"


def test_a_record_past_the_limit_and_its_neighbours(small_folder: Path) -> None:
    good = [nested("A", name, "2025-10-01T00:00:00Z") for name in ("e1", "e2")]
    large = json.dumps({**json.loads(good[0]), "log": "." * 5000})
    with lakehouse(small_folder / "lake", Settings(threads=1, max_record_bytes=4096)) as house:
        report = house.run([str(put(small_folder / "a.json", good[0], large, good[1]))])
        assert (report.accepted, report.quarantined) == (2, 1)
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] == ["record_too_large"]
        assert house.verify().ok


def test_only_bad_records_only_empty_files_and_nothing_at_all(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        assert house.run().idle, "an empty landing folder"
        (small_folder / "in").mkdir()
        assert house.run([str(small_folder / "in")]).idle
        put(small_folder / "in" / "empty.json")
        assert house.run([str(small_folder / "in")]).status == "succeeded"
        put(small_folder / "in" / "bad.json", "what is this?")
        report = house.run([str(small_folder / "in")])
        assert (report.status, report.records, report.quarantined, report.accepted) == ("succeeded", 1, 1, 0)
        assert rows_of(house, SILVER) == [] and house.verify().ok
        assert iceberg(house, BRONZE).current_snapshot().summary.additional_properties["carlake.kind"] == "land"


@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"]
)
def test_a_time_at_the_edge_of_the_calendar_stops_no_neighbour(small_folder: Path, when: str) -> None:
    """A zone leads out of the years that a time may have: the hint that bronze keeps of it is left empty."""
    put(small_folder / "in" / "a.json", nested("B", "edge", when))
    put(small_folder / "in" / "b.json", nested("A", "e1", "2025-10-01T00:00:00Z"))
    with lakehouse(small_folder / "lake") as house:
        report = house.run([str(small_folder / "in")])
        assert (report.status, report.accepted, report.quarantined) == ("succeeded", 1, 1)
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] == ["bad_timestamp"]
        assert house.verify().ok
