"""A merge writes bronze's rows in the order of their objects, and a file may end within one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.upkeep.damages import contents, data_files, now, opened, table_folder
from tests.upkeep.test_recover import recovered

from carlake.engines.duckdb import files as duckdb_files
from carlake.engines.sorted_files import cut
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, nested, put, rows_of

FILE_ROWS, OBJECTS, RECORDS = 5, 5, 4


def _small(
    reader: Iterable[pa.RecordBatch], parts: Sequence[str], target_file_rows: int
) -> Iterator[tuple[list[Any], list[pa.RecordBatch]]]:
    """Files of a few rows."""
    for values, batches in cut(reader, parts, target_file_rows):
        (rows,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
        yield from ((values, [rows.slice(at, FILE_ROWS)]) for at in range(0, rows.num_rows, FILE_ROWS))


@pytest.fixture
def merged(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake of objects of four records each, merged into files of five."""
    lake = small_folder / "lake"
    with Lakehouse.create(lake, Settings(threads=1, compact_files=2), clock=now) as house:
        for number in range(OBJECTS):
            at = f"2025-10-01T00:00:0{number}Z"
            put(lake / "landing" / f"{number}.ndjson", *(nested(f"C{number}", f"e{n}", at) for n in range(RECORDS)))
            house.run()
        with monkeypatch.context() as patch:
            patch.setattr(duckdb_files, "cut", _small)
            house.maintain([BRONZE])
    assert len(data_files(lake, BRONZE)) == OBJECTS * RECORDS // FILE_ROWS
    return lake


def bronze_files(lake: Path) -> list[Path]:
    """All that lie there, of older snapshots too."""
    return sorted((table_folder(lake, BRONZE) / "data").rglob("*.parquet"))


def first_object(path: Path) -> str:
    found: str = pq.read_table(path, columns=["source_id"])["source_id"][0].as_py()
    return found


@pytest.mark.parametrize("kept", ["with the files from before", "without", "and without its metadata"])
def test_the_rest_of_an_object_that_a_merge_cut_comes_from_elsewhere(merged: Path, kept: str) -> None:
    """Whichever file is lost, and whether those from before the merge are there yet or the archive alone has it."""
    before = contents(merged)
    live = {path.name for path in data_files(merged, BRONZE)}
    whole = merged.rename(merged.with_name("whole"))
    for lost in sorted(live):
        shutil.copytree(whole, merged)
        for file in bronze_files(merged):
            if file.name == lost or (kept != "with the files from before" and file.name not in live):
                file.unlink()
        if kept == "and without its metadata":
            shutil.rmtree(table_folder(merged, BRONZE) / "metadata")
        done = recovered(merged)
        assert not done.lost and done.ok
        assert contents(merged) == before
        shutil.rmtree(merged)


def test_what_no_other_place_has_is_counted(merged: Path) -> None:
    """Without archive or older files, an object that lost its last records looks whole; how many are lost is told."""
    shutil.rmtree(merged / "archive")
    *live, last = sorted(data_files(merged, BRONZE), key=first_object)
    for file in bronze_files(merged):
        if file not in live:
            file.unlink()
    done = recovered(merged)
    with opened(merged) as house:
        assert len(rows_of(house, BRONZE)) == OBJECTS * RECORDS - FILE_ROWS
    assert any(str(last) in each.what for each in done.damaged)
    assert any(str(FILE_ROWS) in each.what for each in done.lost), done.lost


def test_the_files_from_before_a_merge_are_asked_for_the_rest(merged: Path) -> None:
    """Without the archive: what is left of the object looks whole, and another data file has all of it."""
    before = contents(merged)
    shutil.rmtree(merged / "archive")
    max(data_files(merged, BRONZE), key=_last_row).unlink()
    done = recovered(merged)
    assert not done.lost
    assert contents(merged) == before


def _last_row(path: Path) -> tuple[str, int]:
    rows = pq.read_table(path, columns=["source_id", "source_row"]).to_pylist()
    return max((row["source_id"], row["source_row"]) for row in rows)
