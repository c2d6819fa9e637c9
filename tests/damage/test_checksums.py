"""The names of a table's files hold their checksums, and whoever reads or carries over a file that changed says so."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carlake.engines.manifests import forget_cached
from carlake.errors import DamagedError
from carlake.lakehouse import Lakehouse
from carlake.storage.checksums import checksum, checksum_of_file, is_whole, recorded, seal
from carlake.storage.durable import DurableFileIO, NamedByContent, settle
from lakes import ALERTS, BRONZE, SILVER, STATE, iceberg, lakehouse, nested, put, step

FIRST = nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=5, engine_temp_celsius=120)
SECOND = nested("A", "e1", "2025-10-01T00:00:00Z", "2025-11-01T00:00:00Z", trip_distance_km=7, engine_temp_celsius=120)


@pytest.fixture
def house(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake") as opened:
        assert opened.run([str(put(small_folder / "first.json", FIRST, "not json"))]).status == "succeeded"
        yield opened


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def files_of(house: Lakehouse, table: str, name: str) -> list[Path]:
    return sorted(Path(house.lake.warehouse, house.settings.namespace, table).rglob(name))


def test_a_name_is_a_uuid_of_the_content(tmp_path: Path) -> None:
    uuid = checksum(b"content")
    assert (uuid.version, uuid.variant) == (8, "specified in RFC 4122")
    assert recorded(f"file:///lake/{uuid}-m0.avro") == recorded(f"/lake/{uuid.hex}-0a1b.parquet") == uuid
    big = tmp_path / "0a1b2c3d4e5f.parquet"
    big.write_bytes(random.Random(1).randbytes(3_000_001))
    sealed = seal(big)
    assert not big.exists() and sealed.name.endswith("-0a1b2c3d4e5f.parquet")
    assert recorded(str(sealed)) == checksum(sealed.read_bytes()) == checksum_of_file(sealed)
    assert is_whole(str(sealed)) is True
    flip(sealed, 8 * 2_000_000)
    assert is_whole(str(sealed)) is False


@pytest.mark.parametrize(
    "name",
    [
        "00000-3-9f1c2b7e-4d1a-4f0e-8a52-7d3b2a1c0e9f-00001.parquet",  # Spark's, random: version 4
        "snap-8552925142797224908-1-9f1c2b7e-4d1a-4f0e-8a52-7d3b2a1c0e9f.avro",
        "9f1c2b7e4d1a4f0e8a527d3b2a1c0e9f.parquet",
        "v12.metadata.json",
    ],
)
def test_a_name_of_another_program_holds_no_checksum(name: str) -> None:
    assert recorded(f"/3735ba19-214d-885d-9f46-9d2459cc2800/{name}") is None
    assert is_whole(name) is None


def test_every_file_of_a_commit_has_its_checksum_in_its_name(house: Lakehouse) -> None:
    files = [path for path in (house.lake.warehouse).rglob("*") if path.is_file()]
    unnamed = [path for path in files if recorded(str(path)) is None]
    assert {path.suffix for path in files} == {".parquet", ".avro", ".json"}
    # The metadata of a table that has no snapshot yet is written by PyIceberg alone.
    assert all(path.name.startswith("00000-") and path.suffix == ".json" for path in unnamed)
    assert all(is_whole(str(path)) for path in files if path not in unnamed)


@pytest.mark.parametrize("name", ["*-m0.avro", "snap-*.avro", "00001-*.metadata.json"])
def test_a_bit_flipped_in_metadata_is_an_error_that_names_the_file(house: Lakehouse, name: str) -> None:
    [path] = files_of(house, STATE, name)
    whole = path.read_bytes()
    bits = random.Random(2).sample(range(len(whole) * 8), 40)
    for bit in bits:
        flip(path, bit)
        forget_cached()
        with lakehouse(house.lake.root) as reader, pytest.raises(Exception, match=path.name):
            iceberg(reader, STATE).scan().to_arrow()
        path.write_bytes(whole)
    assert len(iceberg(house, STATE).scan().to_arrow()) == 1


@pytest.mark.parametrize("table", [BRONZE, SILVER, ALERTS])
def test_a_bit_flipped_anywhere_in_a_data_file_is_found_and_named(house: Lakehouse, table: str) -> None:
    [path] = files_of(house, table, "*.parquet")
    whole = path.read_bytes()
    assert house.verify(deep=True).ok
    for bit in random.Random(3).sample(range(len(whole) * 8), 5):
        flip(path, bit)
        found = [problem for problem in house.verify(deep=True).problems if problem.kind == "damaged file"]
        assert [(problem.table, problem.keys) for problem in found] == [(table, (f"file://{path}",))]
        path.write_bytes(whole)


def test_a_damaged_file_of_an_older_snapshot_is_found_too(house: Lakehouse, small_folder: Path) -> None:
    old = set(files_of(house, SILVER, "*.parquet"))
    assert house.run([str(put(small_folder / "second.json", SECOND))]).status == "succeeded"
    [path] = old
    flip(path, 800)
    assert house.verify().ok, "the rows of now are good"
    [problem] = house.verify(deep=True).problems
    assert problem.table == SILVER and path.name in problem.what


@pytest.mark.parametrize(("harm", "what"), [("cut", "bytes long and not"), ("gone", "is missing")])
def test_a_file_that_was_cut_or_removed_is_named(house: Lakehouse, harm: str, what: str) -> None:
    [path] = files_of(house, BRONZE, "*.parquet")
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    [problem] = [problem for problem in house.verify(deep=True).problems if problem.kind == "damaged file"]
    assert problem.table == BRONZE and path.name in problem.what and what in problem.what


def test_an_archived_object_that_changed_is_named(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "first.json", FIRST)
        assert house.run().status == "succeeded" and house.verify(deep=True).ok
        [path] = [path for path in house.lake.archive.rglob("first.json") if path.is_file()]
        flip(path, 100)
        assert house.verify().ok, "its records are in bronze"
        [problem] = house.verify(deep=True).problems
        assert (problem.kind, problem.keys) == ("archived object damaged", (str(path),))


def test_damaged_rows_are_not_carried_over_into_another_file(house: Lakehouse, small_folder: Path) -> None:
    """A copy-on-write would read the wrong value and give it a file with a good checksum."""
    [path] = files_of(house, SILVER, "*.parquet")
    _flip_unseen(path)
    report = house.run([str(put(small_folder / "second.json", SECOND))])
    assert report.status == "partial"
    assert path.name in step(report, SILVER).error and step(report, SILVER).status == "failed"


def _flip_unseen(path: Path) -> None:
    """Turn a bit that Parquet's readers take for another value."""
    rows, whole = pq.read_table(path), path.read_bytes()
    for bit in random.Random(4).sample(range(len(whole) * 4), 2000):
        flip(path, bit)
        try:
            if pq.read_table(path) != rows:
                return
        except Exception:  # noqa: BLE001  (a bit that is seen)
            pass
        path.write_bytes(whole)
    raise AssertionError("every bit was seen")


def test_a_damaged_database_is_named(house: Lakehouse) -> None:
    content = bytearray(house.lake.catalog_db.read_bytes())
    content[4096:4100] = b"\xff\xff\xff\xff"
    house.lake.catalog_db.write_bytes(content)
    problems = house.verify(deep=True).problems
    assert any(problem.keys == (str(house.lake.catalog_db),) for problem in problems)


def test_the_error_says_what_to_do(house: Lakehouse) -> None:
    [path] = files_of(house, STATE, "*-m0.avro")
    flip(path, 8)
    forget_cached()
    with lakehouse(house.lake.root) as reader, pytest.raises(DamagedError) as error:
        iceberg(reader, STATE).scan().to_arrow()
    assert "recover" in error.value.advice and "verify --deep" in error.value.advice


def test_a_file_that_could_not_be_written_is_not_tried_again(tmp_path: Path) -> None:
    """The garbage collector closes a stream again whose closing failed; nothing may be written then."""
    output = NamedByContent(DurableFileIO(), str(tmp_path / "gone" / "{}.avro"))
    stream = output.create()
    stream.write(b"content")
    (tmp_path / "gone").touch()
    with pytest.raises(FileExistsError):
        stream.close()
    (tmp_path / "gone").unlink()
    stream.close()
    del stream
    assert list(tmp_path.iterdir()) == []
    with output.create() as again:
        again.write(b"content")
    assert recorded(output.location) == checksum(b"content")
    assert [path.name for path in (tmp_path / "gone").iterdir()] == [output.location.rpartition("/")[2]]
    settle()
