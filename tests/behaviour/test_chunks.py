"""Objects longer than a chunk: the same rows, and no trace of one that breaks off in the middle."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest

from carlake.engines import bronze_files, landed_objects
from carlake.landing import compression
from carlake.landing import records as landed_records
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet, records
from lakes import (
    BRONZE,
    QUARANTINE,
    SILVER,
    TODAY,
    heads,
    held,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
)
from model import model

FLEET = Fleet(
    events=2500, cars=8, days=120, flat=0.2, snapshot=0.1, duplicates=0.1, corrections=0.1, stale=0.05, bad=0.05
)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 200 records or 64 KiB, files of 1,000 rows: what a million events meet, a few thousand meet."""
    monkeypatch.setattr(landed_records, "BATCH_RECORDS", 70)
    monkeypatch.setattr(bronze_files, "_CHUNK_ROWS", 200)
    monkeypatch.setattr(bronze_files, "_CHUNK_BYTES", 64 << 10)
    monkeypatch.setattr(bronze_files, "_FILE_ROWS", 1000)


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets another program write to the first objects after so many batches of their records; 0 is not at all."""
    left: list[int] = []
    split = landed_objects.split

    def split_and_change(stream: Any, **options: Any) -> Iterator[Any]:
        after = left.pop(0) if left else 0
        for number, batch in enumerate(split(stream, **options), 1):
            yield batch
            if number == after:
                os.utime(stream.name)

    monkeypatch.setattr(landed_objects, "split", split_and_change)
    monkeypatch.setattr(landed_objects, "_SMALL_BYTES", 0)
    return left


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("files", [1, 7, 90])
def test_many_chunks_give_the_models_rows(small_folder: Path, files: int) -> None:
    simulated = write(FLEET, small_folder / "in", files=files)
    with lakehouse(small_folder / "lake", Settings(threads=2, maintenance="off")) as house:
        report = house.run([str(simulated.folder)])
        assert (report.status, report.records, report.accepted) == ("succeeded", simulated.records, simulated.events)
        assert len(iceberg(house, BRONZE).inspect.data_files()) > 2, "files of bronze"
        objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
        assert held(house) == model(objects, TODAY)
        verified = house.verify()
        assert verified.ok and verified.quarantined == sum(simulated.bad.values())


@pytest.mark.usefixtures("small_chunks")
def test_a_long_object_that_breaks_off_leaves_no_trace(small_folder: Path, broken_off: list[int]) -> None:
    long = [
        str(record.text) for record in records(Fleet(events=3000, cars=3, flat=0.2, bad=0)) if record.kind == "event"
    ]
    inbox = small_folder / "in"
    put(inbox / "a.ndjson", nested("A", "before", "2025-10-01T00:00:00Z"))
    put(inbox / "b.ndjson", *long)
    put(inbox / "c.ndjson", nested("A", "after", "2025-10-01T00:00:00Z"), "not json")
    with lakehouse(small_folder / "lake") as house:
        broken_off += [0, 2]
        report = house.run([str(inbox)])
        assert report.status == "partial" and [Path(each.uri).name for each in report.problems] == ["b.ndjson"]
        assert [row["event_id"] for row in rows_of(house, SILVER)] == ["after", "before"]
        assert len(rows_of(house, BRONZE)) == 3 and len(rows_of(house, QUARANTINE)) == 1
        assert report.records == 3 and house.verify().ok
        folder = Path(iceberg(house, BRONZE).location().removeprefix("file://")) / "data"
        assert len(list(folder.rglob("*.parquet"))) == len(iceberg(house, BRONZE).inspect.data_files())

        again = house.run([str(inbox)])
        assert again.status == "succeeded" and again.records == len(long) and house.verify().ok


@pytest.mark.usefixtures("small_chunks")
def test_nothing_but_a_long_object_that_breaks_off_makes_no_snapshot(small_folder: Path, broken_off: list[int]) -> None:
    long = [nested("A", f"e{number}", "2025-10-01T00:00:00Z") for number in range(3000)]
    path = put(small_folder / "a.ndjson", *long)
    with lakehouse(small_folder / "lake") as house:
        broken_off += [1]
        report = house.run([str(path)])
        assert report.status == "partial" and heads(house).keys() <= {"ops_runs"}
        assert not list(house.lake.warehouse.glob("*/bronze_car_data/data/**/*.parquet"))
        assert house.run([str(path)]).records == 3000


@pytest.mark.usefixtures("small_chunks")
def test_a_file_of_an_object_that_breaks_off_is_never_whole(
    small_folder: Path, broken_off: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in taking it out leaves nothing that could be read: the file has no footer, or no name."""
    path = put(small_folder / "a.ndjson", *[nested("A", f"e{n}", "2025-10-01T00:00:00Z") for n in range(3000)])
    closed, close = list[bool](), pq.ParquetWriter.close

    def seen(writer: pq.ParquetWriter) -> None:
        if writer.is_open and "bronze" in str(writer.where):
            closed.append(Path(writer.where).exists())
        close(writer)

    monkeypatch.setattr(pq.ParquetWriter, "close", seen)
    with lakehouse(small_folder / "lake") as house:
        broken_off += [20]
        assert house.run([str(path)]).status == "partial"
        # Others were full before.
        assert closed == [True, True, False]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("batches", [3, 6, 15, 25])
def test_a_long_object_that_begins_with_an_unknown_shape_breaks_off(
    small_folder: Path, broken_off: list[int], batches: int
) -> None:
    """Its first chunk tells no contract, so that all chunks are judged one by one, before it is known to break off."""
    inbox = small_folder / "in"
    unknown = [json.dumps({"ping": number}) for number in range(400)]
    put(inbox / "a.ndjson", *unknown, *[nested("GHOST", f"g{n}", "2025-10-01T00:00:00Z") for n in range(1500)])
    put(inbox / "b.ndjson", nested("A", "after", "2025-10-01T00:00:00Z"), "not json")
    with lakehouse(small_folder / "lake") as house:
        broken_off += [batches]
        report = house.run([str(inbox)])
        assert [Path(each.uri).name for each in report.problems] == ["a.ndjson"]
        assert [row["car_chassis"] for row in rows_of(house, SILVER)] == ["A"]
        assert len(rows_of(house, QUARANTINE)) == 1 and (report.records, report.quarantined) == (2, 1)
        assert house.verify().ok
        assert house.run([str(inbox)]).records == 1900 and house.verify().ok


def test_a_compressed_object_that_changes_meanwhile_stops_no_neighbour(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gzip that was whole when it was looked through, and is not when it is read again."""
    monkeypatch.setattr(compression, "KEPT_BYTES", 0)
    monkeypatch.setattr(landed_objects, "_SMALL_BYTES", 0)
    lines = "\n".join(nested("A", f"e{number:05}", "2025-10-01T00:00:00Z") for number in range(30_000))
    put(small_folder / "in" / "a.gz", gzip.compress(lines.encode(), 1))
    put(small_folder / "in" / "b.json", nested("B", "b", "2025-10-01T00:00:00Z"))
    unpack = compression.unpack
    left = [1]

    def broken_the_second_time(stream: BinaryIO) -> Iterator[bytes]:
        for number, piece in enumerate(unpack(stream)):
            if number and not left:
                raise compression.CorruptStreamError("wrong checksum")
            yield piece
        if left:
            left.pop()

    with lakehouse(small_folder / "lake") as house:
        with monkeypatch.context() as patched:
            patched.setattr(compression, "unpack", broken_the_second_time)
            report = house.run([str(small_folder / "in")])
        assert report.status == "partial" and [Path(each.uri).name for each in report.problems] == ["a.gz"]
        assert "wrong checksum" in report.problems[0].why
        assert [row["event_id"] for row in rows_of(house, SILVER)] == ["b"] and house.verify().ok
        assert house.run([str(small_folder / "in")]).records == 30_000 and house.verify().ok


def test_a_short_object_with_long_content_is_cut_in_chunks_too(
    small_folder: Path, broken_off: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed objects unpack to many times their size: what counts is what is in memory."""
    monkeypatch.setattr(landed_records, "BATCH_RECORDS", 100)
    monkeypatch.setattr(bronze_files, "_CHUNK_ROWS", 500)
    taken: list[int] = []
    flush = bronze_files.BronzeFiles._flush

    def counted(landing: Any) -> None:
        taken.append(landing._pending_rows)
        flush(landing)

    monkeypatch.setattr(bronze_files.BronzeFiles, "_flush", counted)
    lines = "\n".join(nested("A", f"e{number:05}", "2025-10-01T00:00:00Z") for number in range(5000))
    before = put(small_folder / "in" / "a.json", nested("A", "before", "2025-10-01T00:00:00Z"))
    put(small_folder / "in" / "b.gz", gzip.compress(lines.encode(), 1))
    with lakehouse(small_folder / "lake") as house:
        broken_off += [0, 2]
        assert house.run([str(small_folder / "in")]).status == "partial"
        assert [row["source_uri"] for row in rows_of(house, BRONZE)] == [str(before)]
        assert house.verify().ok
        assert house.run([str(small_folder / "in")]).records == 5000
        assert max(taken) < 700
        assert house.verify().ok
