"""What `write` promises: files that hold exactly the records it counts, in every format, at times it decides."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from carlake.contracts.judge import Refused, judge_text
from carlake.contracts.load import load
from carlake.errors import SettingsError
from carlake.landing.records import split
from carlake.simulator.containers import flat_row
from carlake.simulator.faults import FAULTS, faults_for
from carlake.simulator.files import Simulated, write
from carlake.simulator.fleet import Fleet, records
from model import model, model_of_records, records_of

FLEET = Fleet(events=300, cars=6, corrections=0.05, stale=0.05, duplicates=0.1, bad=0.05)
TODAY = date(2025, 11, 1)


def _content(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    return path.read_bytes()


def _objects(simulated: Simulated) -> list[tuple[bytes, datetime]]:
    return [(_content(path), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]


@pytest.mark.parametrize(
    ("form", "files", "compress", "count"),
    [
        ("json", None, "", 375),
        ("json", 7, "gzip", 7),
        ("ndjson", None, "", 1),
        ("ndjson", 7, "", 7),
        ("ndjson", 3, "gzip", 3),
        ("ndjson", 3, "zstd", 3),
    ],
)
def test_json_files_hold_what_is_counted(tmp_path: Path, form: Any, files: Any, compress: Any, count: int) -> None:
    simulated = write(FLEET, tmp_path, format=form, files=files, compress=compress)
    assert len(simulated.paths) == count
    assert sorted(simulated.paths) == sorted(tmp_path.iterdir())
    assert simulated.size == sum(path.stat().st_size for path in simulated.paths)
    objects = _objects(simulated)
    assert simulated.contents == len({content for content, _ in objects})
    landed = [text for content in {content: None for content, _ in objects} for text in records_of(content)]
    assert simulated.records == len(landed)
    silver = model(objects, TODAY)["silver_car_telemetry"]
    assert simulated.events == len(silver) == 300
    assert simulated.records == simulated.events + simulated.duplicates + sum(simulated.bad.values())
    assert sum(simulated.bad.values()) == 15
    assert simulated.duplicates == (30 if form == "json" and files is None else 60)


def test_every_format_is_the_same_fleet(tmp_path: Path) -> None:
    lines, arrays = write(FLEET, tmp_path / "lines", files=5), write(FLEET, tmp_path / "arrays", files=5, format="json")
    as_lines, as_arrays = model(_objects(lines), TODAY), model(_objects(arrays), TODAY)
    assert as_lines == as_arrays
    assert len(as_lines["gold_car_current_state"]) == 6


def test_the_same_arguments_give_the_same_bytes_and_times(tmp_path: Path) -> None:
    for form, compress in (("json", "zstd"), ("ndjson", "gzip"), ("csv", "gzip"), ("parquet", ""), ("mixed", "")):
        one, two = (
            write(FLEET, tmp_path / form / name, format=form, compress=compress)  # type: ignore[arg-type]
            for name in ("one", "two")
        )
        assert [path.name for path in one.paths] == [path.name for path in two.paths]
        for left, right in zip(one.paths, two.paths, strict=True):
            assert left.read_bytes() == right.read_bytes()
            assert left.stat().st_mtime_ns == right.stat().st_mtime_ns


@pytest.mark.parametrize("form", ["ndjson", "mixed"])
def test_files_are_one_newer_than_the_other_on_the_clock_of_the_fleet(tmp_path: Path, form: Any) -> None:
    simulated = write(FLEET, tmp_path, files=20, format=form)
    times = [path.stat().st_mtime_ns for path in simulated.paths]
    assert times == sorted(set(times))
    days = {datetime.fromtimestamp(time / 1e9, UTC).date() for time in times}
    assert min(days) >= date(2025, 8, 1)
    assert date(2025, 10, 30) <= max(days) <= date(2025, 11, 20)


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    write(FLEET, tmp_path, files=4)
    again = write(FLEET, tmp_path, files=4)
    assert sorted(tmp_path.iterdir()) == sorted(again.paths)


@pytest.mark.parametrize("compress", ["", "gzip", "zstd"])
def test_csv_holds_the_flat_records(tmp_path: Path, compress: Any) -> None:
    simulated = write(FLEET, tmp_path, format="csv", compress=compress)
    rows = list(csv.DictReader(io.StringIO(_content(simulated.paths[0]).decode())))
    expected = [
        flat_row(record)
        for record in records(replace(FLEET, flat=1.0), faults_for("csv"))
    ]  # fmt: skip
    assert len(rows) == len(expected) == simulated.records == 375
    assert rows == [{name: "" if each.get(name) is None else str(each[name]) for name in rows[0]} for each in expected]


def test_parquet_holds_the_nested_records_or_the_flat_ones(tmp_path: Path) -> None:
    nested = write(FLEET, tmp_path / "nested", format="parquet", files=2)
    rows = [row for path in nested.paths for row in pq.read_table(path).to_pylist()]
    expected = [json.loads(record.text) for record in records(FLEET, faults_for("parquet"))]
    assert rows == expected
    assert nested.records == len(rows) == 375
    flat = write(Fleet(events=10, flat=0.1), tmp_path / "flat", format="parquet")
    assert "telemetryTimestamp" in pq.read_schema(flat.paths[0]).names


def test_the_zoo_has_every_fault_and_the_good_records_beside_it(tmp_path: Path) -> None:
    simulated = write(FLEET, tmp_path, format="mixed")
    assert set(simulated.bad) == {
        "not_json", "truncated_json", "bad_compression", "not_utf8", "utf16", "nul_bytes", "non_finite_number",
        "nesting_too_deep", "record_too_large", "not_an_object", "bad_csv_row", "bad_parquet", "unknown_shape",
        "missing_field", "bad_type", "bad_timestamp", "out_of_range", "number_too_large", "bad_block",
    }  # fmt: skip
    assert len(simulated.paths) == simulated.contents + 1, "one copy"
    names = {path.name: path for path in simulated.paths}
    assert len({"".join(path.suffixes) for path in simulated.paths if path.name.startswith("fleet7")}) == 8

    lines = names["line faults.ndjson"].read_bytes().splitlines()
    assert len(lines) == 2 * len(FAULTS) + 1
    when = datetime(2025, 11, 1, tzinfo=UTC)
    assert (
        len(model_of_records([(line, when) for line in lines[::2]], TODAY)["silver_car_telemetry"]) == len(FAULTS) + 1
    )
    assert model_of_records([(line, when) for line in lines[1::2]], TODAY)["silver_car_telemetry"] == []

    for name, error in (("truncated.ndjson.gz", EOFError), ("bad-checksum.json.gz", gzip.BadGzipFile)):
        with pytest.raises(error):
            gzip.decompress(names[name].read_bytes())
    assert names["utf16.json"].read_bytes().decode("utf-16").startswith('{"event_id"')
    assert len(gzip.decompress(names["large.json.gz"].read_bytes())) > 16 * 2**20
    assert b"[" * 100_000 in names["deep.json"].read_bytes()
    assert names["empty.json"].read_bytes() == b""
    with pytest.raises(ValueError):
        pq.read_table(names["broken.parquet"])


@pytest.mark.parametrize(
    ("form", "files", "compress"),
    [
        ("mixed", None, ""),
        ("mixed", 30, ""),
        ("ndjson", 3, "zstd"),
        ("json", None, ""),
        ("json", 4, "gzip"),
        ("csv", 2, "gzip"),
        ("parquet", 2, ""),
    ],
)
def test_landing_finds_the_records_that_are_counted(tmp_path: Path, form: Any, files: Any, compress: Any) -> None:
    simulated = write(replace(FLEET, bad=0.1), tmp_path, format=form, files=files, compress=compress)
    contracts = load()
    contents = {path.read_bytes(): None for path in simulated.paths}
    bad: Counter[str] = Counter()
    events: set[tuple[str, str]] = set()
    accepted = 0
    for content in contents:
        for batch in split(io.BytesIO(content), max_record_bytes=16 << 20):
            for record in batch.to_pylist():
                if record["reason"]:
                    bad[record["reason"]] += 1
                    continue
                judged = judge_text(record["raw"], contracts)
                if isinstance(judged, Refused):
                    bad[judged.reason] += 1
                else:
                    accepted += 1
                    events.add((judged.values["car_chassis"], judged.values["event_id"]))
    assert bad == simulated.bad
    assert len(events) == simulated.events
    assert accepted == simulated.events + simulated.duplicates
    assert accepted + bad.total() == simulated.records
    assert len(contents) == simulated.contents


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be compressed"):
        write(FLEET, tmp_path, format="mixed", compress="gzip")
    with pytest.raises(SettingsError, match="0 files"):
        write(FLEET, tmp_path, files=0)
    assert list(tmp_path.iterdir()) == []
