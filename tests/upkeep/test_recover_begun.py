"""What a landing that was broken off has left: its files in the warehouse are no object yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.upkeep.damages import SETTINGS, now, opened
from tests.upkeep.test_recover import recovered

from carlake.engines import bronze_files
from carlake.lakehouse import Lakehouse
from lakes import BRONZE, SILVER, iceberg, lakehouse, nested, put

LAND_AND_DIE = """
import os, signal, sys
from carlake.engines import bronze_files, new_files
from carlake.landing import records
from carlake.refresh import land
from lakes import lakehouse
from pathlib import Path

def die(*what, **how):
    os.kill(os.getpid(), signal.SIGKILL)

records.BATCH_RECORDS, bronze_files._CHUNK_ROWS, bronze_files._FILE_ROWS = 50, 200, 1000
finish, (lake, path, moment) = new_files.NewFile.finish, sys.argv[1:]
if moment == "file":
    new_files.NewFile.finish = lambda file: (finish(file), die())
else:
    land.publish = die
lakehouse(Path(lake)).run([path])
"""


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze_files, "_FILE_ROWS", 1000)


def land_and_die(lake: Path, path: Path, moment: str) -> list[Path]:
    """Land an object in a process that is killed, after its first `file` or at the `commit`; gives the files it left."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-c", LAND_AND_DIE, str(lake), str(path), moment]
    died = subprocess.run(words, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    with lakehouse(lake) as house:
        folder = Path(iceberg(house, BRONZE).location().removeprefix("file://"))
    return sorted(file for file in folder.glob("data/*/*.parquet") if "-" in file.name)


def long_object(path: Path, records: int) -> Path:
    return put(path, *(nested("LONG", f"e{number}", "2025-10-01T00:00:00Z") for number in range(records)))


def rows(lake: Path, name: str) -> int:
    with opened(lake) as house:
        found: int = house.query(f"SELECT count(*) AS n FROM {name}")["n"].to_pylist()[0]
        return found


@pytest.mark.parametrize("before", [0, 1], ids=["first of its lake", "after others"])
def test_the_beginning_of_an_object_is_not_taken_for_all_of_it(small_folder: Path, before: int) -> None:
    """It stays where it is and is named; landed again, it is whole."""
    lake = small_folder / "lake"
    with lakehouse(lake) as house:
        if before:
            house.run([str(put(small_folder / "one.json", nested("A", "a", "2025-10-01T00:00:00Z")))])
    path = long_object(small_folder / "long.ndjson", 2500)
    left = land_and_die(lake, path, "file")
    done = Lakehouse.recover(lake, SETTINGS, clock=now)
    (said,) = done.lost
    assert str(path) in said.what and "its end may be missing" in said.why and "land the object again" in said.why
    assert any(str(file) in said.why for file in left) and all(file.exists() for file in left)
    assert (rows(lake, BRONZE) if before else 0) == before
    with opened(lake) as house:
        assert house.run([str(path)]).records == 2500
    assert (rows(lake, BRONZE), rows(lake, SILVER)) == (2500 + before, 2500 + before)
    assert not recovered(lake).lost


@pytest.mark.parametrize("records", [2500, 150])
def test_a_whole_object_that_was_not_committed_is_taken_in(small_folder: Path, records: int) -> None:
    lake = small_folder / "lake"
    land_and_die(lake, long_object(small_folder / "long.ndjson", records), "commit")
    assert not recovered(lake).lost
    assert (rows(lake, BRONZE), rows(lake, SILVER)) == (records, records)


def test_a_full_file_may_say_that_its_object_ends(small_folder: Path) -> None:
    lake = small_folder / "lake"
    (begun,) = land_and_die(small_folder / "other", long_object(small_folder / "long.ndjson", 2500), "file")
    records = pq.read_metadata(begun).num_rows
    (whole,) = land_and_die(lake, long_object(small_folder / "just.ndjson", records), "commit")
    assert pq.read_metadata(whole).num_rows == records >= 1000
    assert not recovered(lake).lost
    assert (rows(lake, BRONZE), rows(lake, SILVER)) == (records, records)


def test_a_beginning_is_salvaged_where_bronze_cannot_say_what_it_held(small_folder: Path) -> None:
    """All of bronze's metadata is gone: the file may have been its own."""
    lake = small_folder / "lake"
    left = land_and_die(lake, long_object(small_folder / "long.ndjson", 2500), "file")
    for file in (lake / "warehouse" / "carlake" / BRONZE / "metadata").iterdir():
        file.unlink()
    done = recovered(lake)
    assert any("what is left was landed as salvaged-" in item.why for item in done.lost)
    assert rows(lake, SILVER) == pq.read_metadata(left[0]).num_rows >= 1000
