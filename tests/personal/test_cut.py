"""Objects of which bronze keeps only a part: what would be written anew without the rest stays as it is, and is named."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from carlake.landing import records
from carlake.settings import Settings
from lakes import BRONZE, QUARANTINE, flat, iceberg, lakehouse, put, rows_of

CAR, OTHER = "WVWZZZ1JZXW000001", "1FTFW1ET5DFC10312"
AT = "2025-10-01T00:00:00Z"


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def corrupt(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def damaged_parquet() -> bytes:
    """Three row groups of a car each, the second of them damaged."""
    file = io.BytesIO()
    cars = [name for name in (CAR, "CARBBBB2", "CARCCCC3") for _ in range(400)]
    rows = {
        "carChassis": cars,
        "telemetryTimestamp": [AT] * 1200,
        "note": [noise(9 * 1200)[n * 9 :][:9].hex() for n in range(1200)],
    }
    pq.write_table(pa.table(rows), file, row_group_size=400, compression="zstd", use_dictionary=False)
    content = file.getvalue()
    column = pq.ParquetFile(file).metadata.row_group(1).column(2)
    first, last = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    return content[:first] + b"\xff" * (last - first) + content[last:]


UNREADABLE = {
    "gzip": corrupt(gzip.compress(noise(60_000)), 30_000),
    "truncated gzip": gzip.compress(flat(CAR, AT).encode() + b"\n" + noise(60_000).hex().encode())[:-20],
    "zstd": corrupt(zstandard.ZstdCompressor(write_checksum=True).compress(noise(60_000)), 30_000),
    "parquet": damaged_parquet(),
    "binary": gzip.compress(gzip.compress(noise(60_000))),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_an_object_that_is_not_kept_whole_stays_in_landing(small_folder: Path, content: bytes) -> None:
    (small_folder / "pseudonym.key").write_text("5a" * 32)
    settings = Settings(threads=1, pseudonym_key_file=small_folder / "pseudonym.key", max_record_bytes=2000)
    with lakehouse(small_folder / "lake", settings) as house:
        path = put(house.lake.landing / "x", content)
        put(house.lake.landing / "y.json", flat(OTHER, AT))
        for _ in range(2):
            report = house.run()
            assert report.status == "partial" and path.read_bytes() == content
            (problem,) = report.problems
            assert problem.uri == str(path) and "would be cut" in problem.why and "max_record_bytes" in problem.advice
        archived = [
            each.name for each in house.lake.archive.rglob("*") if each.is_file() and ".rewritten" not in each.parts
        ]
        assert len(archived) == 1 and archived[0].endswith(".json")
    longer = settings.model_copy(update={"max_record_bytes": 100_000})
    with lakehouse(small_folder / "lake", longer) as house:
        assert house.rebuild().status == "succeeded"
        assert house.run().problems == () and not path.exists()


def test_forget_leaves_an_object_whose_other_records_would_lose_bytes(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "HARD_CAP_BYTES", 5000)
    contents = {
        "long.json": "\n".join([flat(CAR, AT), flat(OTHER, AT)[:-1] + ', "note": "' + "x" * 9000 + '"}']).encode(),
        "damaged.parquet": damaged_parquet(),
    }
    with lakehouse(small_folder / "lake", Settings(threads=1, max_record_bytes=2000)) as house:
        for name, content in contents.items():
            put(house.lake.landing / name, content)
        put(house.lake.landing / "short.json", flat(CAR, AT), flat(OTHER, AT))
        house.run()
        assert len(rows_of(house, QUARANTINE)) == 2
        done = house.forget(CAR)
        found = {path.name: path for path in house.lake.archive.glob("*/*/*")}
        assert {name: found[name].read_bytes() for name in contents} == contents
        assert CAR.encode() not in found["short.json"].read_bytes()
        assert not done.ok and {place.path for place in done.left} == {str(found[name]) for name in contents}
        assert house.verify().problems == ()


def test_the_table_tells_of_the_part_that_it_has(small_folder: Path) -> None:
    """As records.md says: a rebuild has no more than that part, and must say the same."""
    with lakehouse(small_folder / "lake", Settings(threads=1, max_record_bytes=2000)) as house:
        put(house.lake.landing / "x.gz", UNREADABLE["gzip"])
        house.run()
        before = rows_of(house, QUARANTINE)
        assert [row["detail"] for row in before] == ["gzip stream is truncated: it ends too early"]
        (row,) = iceberg(house, BRONZE).scan().to_arrow().to_pylist()
        assert (row["source_size"], len(row["raw_bytes"])) == (len(UNREADABLE["gzip"]), 2000)
        house.rebuild(everything=True, from_archive=True)
        assert rows_of(house, QUARANTINE) == before
        (archived,) = house.lake.archive.glob("*/*/x.gz")
        assert archived.read_bytes() == UNREADABLE["gzip"]
