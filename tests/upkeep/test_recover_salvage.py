"""What is left of an object is landed as an object of its own: at once, and each record as it was."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.upkeep.damages import data_files, now, opened
from tests.upkeep.test_recover_edited import edited, of_one_object
from tests.upkeep.test_recover_merged import _small, bronze_files

from carlake.engines.duckdb import files as duckdb_files
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, SILVER, nested, put, rows_of

AT = "2025-10-01T00:00:00Z"
OTHERS = [b"\x1f\x8b\x08\x00abcdef", b"PAR1xxxx", b"(\xb5/\xfd\x00\x00", b"\xff\xfe{\x00", b'{"a": [', b'C1,"unclosed']


def beginning_lost(lake: Path, records: Sequence[str | bytes]) -> list[bytes]:
    """A lake of an object that a merge cut, which has lost its first five records for good; gives the others."""
    with Lakehouse.create(lake, Settings(threads=1, compact_files=2), clock=now) as house:
        put(lake / "landing" / "0.ndjson", *records)
        house.run()
        put(lake / "landing" / "1.ndjson", nested("C2", "a", AT))
        house.run()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(duckdb_files, "cut", _small)
            house.maintain([BRONZE])
    shutil.rmtree(lake / "archive")
    live = data_files(lake, BRONZE)
    for path in bronze_files(lake):
        if path not in live or any("0.ndjson" in uri and row == 0 for uri, row in _places(path)):
            path.unlink()
    left = [row for path in bronze_files(lake) for row in pq.read_table(path).to_pylist()]
    left = sorted((row for row in left if "0.ndjson" in row["source_uri"]), key=lambda row: row["source_row"])
    return [row["raw"].encode() if row["raw"] is not None else row["raw_bytes"] for row in left]


def _places(path: Path) -> list[tuple[str, int]]:
    rows = pq.read_table(path, columns=["source_uri", "source_row"]).to_pylist()
    return [(row["source_uri"], row["source_row"]) for row in rows]


def salvaged(lake: Path) -> list[bytes]:
    """The records of what was landed of it, as bronze has them."""
    with opened(lake) as house:
        rows = sorted(rows_of(house, BRONZE), key=lambda row: row["source_row"])
    return [
        row["raw"].encode() if row["raw"] is not None else row["raw_bytes"]
        for row in rows
        if "salvaged-" in row["source_uri"]
    ]


def records(bad: bytes | None = None) -> list[str | bytes]:
    """Twelve, of which the fifth to the eighth may be another."""
    return [bad if bad and 4 <= number < 8 else nested("C1", f"e{number}", AT) for number in range(12)]


@pytest.mark.parametrize("bad", OTHERS, ids=["gzip", "parquet", "zstd", "utf-16", "half", "csv"])
def test_each_record_is_as_it_was_whatever_stands_beside_it(small_folder: Path, bad: bytes) -> None:
    lake = small_folder / "lake"
    left = beginning_lost(lake, records(bad))
    assert bad in left and len(left) >= 6
    assert Lakehouse.recover(lake, Settings(threads=1), clock=now).ok
    assert salvaged(lake) == left


@pytest.mark.parametrize("settings", [{"whole_when": "marker"}, {"whole_when": "settled", "settle_seconds": 60}])
def test_it_is_landed_at_once_whatever_tells_that_objects_are_whole(
    small_folder: Path, settings: dict[str, str]
) -> None:
    lake = small_folder / "lake"
    left = beginning_lost(lake, records())
    assert Lakehouse.recover(lake, Settings(threads=1, **settings), clock=now).ok
    assert salvaged(lake) == left
    with opened(lake) as house:
        assert len(rows_of(house, SILVER)) == len(rows_of(house, BRONZE)) >= len(left)
    if settings["whole_when"] == "marker":
        assert not [path for path in (lake / "landing").iterdir() if path.is_file()]


def test_records_that_are_not_as_landed_are_told(small_folder: Path) -> None:
    lake = of_one_object(small_folder / "lake")
    (landed,) = data_files(lake, BRONZE)
    edited(lake, 3)
    landed.unlink()
    done = Lakehouse.recover(lake, Settings(threads=1), clock=now)
    assert any("3 records are not as landed" in each.why for each in done.lost), done.lost
