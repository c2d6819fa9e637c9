"""The lake's own landing folder: what becomes of an object whose rows are committed, and a lake that was moved."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, MODIFIED, SILVER, heads, lakehouse, nested, put, rows_of

EVENT = nested("A", "e1", "2025-10-01T00:00:00Z")


def test_move_archives_by_day_and_content_and_keeps_the_time(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        for name in ("x/a.json", "y/a.json", "y/b.json"):
            put(house.lake.landing / name, EVENT if name != "x/a.json" else "[]")
        report = house.run()
        assert (report.status, report.files, report.files_known) == ("succeeded", 3, 1)
        ids = {row["raw"]: row["source_id"] for row in rows_of(house, BRONZE)}
        day = house.lake.archive / "2025-11-01"
        archived = sorted(path for path in day.rglob("*") if path.is_file())
        assert archived == sorted(
            [day / ids[None] / "a.json", day / ids[EVENT] / "a.json", day / ids[EVENT] / "b.json"]
        )
        assert {path.stat().st_mtime for path in archived} == {MODIFIED.timestamp()}
        assert house.verify().ok

        # The same content again, another day: archived beside the first, or where it lies already, never over it.
        put(house.lake.landing / "a.json", EVENT, modified=datetime(2026, 1, 1, tzinfo=UTC))
        before = heads(house)
        again = house.run()
        assert (again.files, again.files_known) == (1, 1) and heads(house).items() >= before.items()
        assert not (house.lake.landing / "a.json").exists()
        assert {path.stat().st_mtime for path in archived} == {MODIFIED.timestamp()}


def test_leave_leaves_objects_and_reads_them_once(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, after_landing="leave")) as house:
        path = put(house.lake.landing / "a.json", EVENT)
        house.run()
        before = heads(house)
        again = house.run()
        assert again.idle and again.files_unchanged == 1 and heads(house) == before
        assert path.exists() and not list(house.lake.archive.iterdir())


def test_delete_deletes_what_is_committed(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, after_landing="delete")) as house:
        path = put(house.lake.landing / "a.json", EVENT)
        house.run()
        assert not path.exists() and not list(house.lake.archive.iterdir())
        assert len(rows_of(house, SILVER)) == 1 and house.verify().ok


def test_paths_that_are_given_are_left_even_in_the_landing_folder(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        path = put(house.lake.landing / "a.json", EVENT)
        house.run([str(path)])
        assert path.exists() and not list(house.lake.archive.iterdir())
        house.run()
        assert not path.exists() and len(rows_of(house, BRONZE)) == 1


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_lake_that_lies_elsewhere_is_refused_and_nothing_is_touched(small_folder: Path, how: str) -> None:
    here, there = small_folder / "here", small_folder / "there"
    with lakehouse(here) as house:
        house.run([str(put(small_folder / "a.json", EVENT))])
        put(house.lake.landing / "waiting.json", nested("A", "e2", "2025-10-01T00:00:00Z"))
    if how == "moved":
        here.rename(there)
    else:
        shutil.copytree(here, there)
    before = _tree(small_folder)
    for open_lake in (Lakehouse.open, Lakehouse.create):
        with pytest.raises(LakeError, match=str(here)) as refused:
            open_lake(there)
        assert refused.value.advice
    assert _tree(small_folder) == before

    if how == "moved":
        there.rename(here)
    with lakehouse(here) as house:
        assert house.run().records == 1 and house.verify().ok


def _tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files} | {
        str(path): (0, b"") for path in folder.rglob("*") if path.is_dir()
    }
