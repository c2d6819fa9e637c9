"""A machine that makes trouble: a run there ends in an orderly way, and the next one, elsewhere, lacks nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from carlake.errors import CarlakeError
from crashes.matrix import Matrix
from crashes.operations import opened, problems, state
from crashes.processes import run
from environment.hostile import REFUSED, few_files, fill, little_memory, run_at, small_files, suffer, writes
from lakes import NOON, lakehouse, nested, put
from landing.ordinary_user import open_to_all, ordinary_user

EFFECTS = ("begin data file", "end data file", "end manifest", "end metadata", "swap", "make archive folder",
           "write state file archive.lock")  # fmt: skip


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """A run that has something to do, which can be put back to its beginning."""
    memory = Path("/dev/shm")
    folder = (memory if memory.is_dir() else tmp_path_factory.mktemp("at")) / f"carlake-hostile-{id(memory)}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield Matrix("run", folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_disk_that_is_full_at_any_kind_of_write(matrix: Matrix) -> None:
    """At every write: `make torture`."""
    firsts = {each.name.partition(" of ")[0]: each for each in reversed(writes(matrix))}
    assert set(EFFECTS) <= set(firsts)
    assert [wrong for name in EFFECTS for wrong in fill(matrix, firsts[name])] == []


@pytest.mark.parametrize("size", [2_000, 12_000])
def test_files_that_cannot_grow(matrix: Matrix, size: int) -> None:
    code, wrong = suffer(matrix, small_files, size)
    assert (code == REFUSED, wrong) == (True, [])


@pytest.mark.parametrize("number", [12, 20, 40])
def test_few_files_may_be_open(matrix: Matrix, number: int) -> None:
    _, wrong = suffer(matrix, few_files, number)
    assert wrong == [] or wrong == ["the process ended with 1"]


@pytest.mark.parametrize("more", [32 << 20, 400 << 20])
def test_little_memory(matrix: Matrix, more: int) -> None:
    _, wrong = suffer(matrix, little_memory, more)
    # Without memory a process may end anyhow; what it leaves behind is whole.
    assert [each for each in wrong if not each.startswith("the process ended")] == []


def test_clocks_that_jump_both_ways(matrix: Matrix) -> None:
    matrix.place.restore()
    lake = matrix.place.folder / "lake"
    for number, hours in enumerate((48, -72, 0, 24 * 400)):
        put(lake / "landing" / f"more{number}.json", nested("E", f"x{number}", f"2025-10-0{number + 1}T00:00:00Z"))
        assert run(run_at, str(matrix.place.folder), hours, hours) == 0
        with opened(matrix.place.folder) as house:
            assert problems(house) == []
    with opened(matrix.place.folder) as house:
        events = {row["event_id"] for row in state(house)["silver_car_telemetry"]}
    assert {"x0", "x1", "x2", "x3", "e4"} <= events


def test_objects_from_the_future_and_from_long_ago(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        old = NOON.replace(year=1971)
        new = NOON.replace(year=2099)
        put(
            house.lake.landing / "old.json", nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=1), modified=old
        )
        put(
            house.lake.landing / "new.json", nested("A", "e1", "2025-10-01T00:00:00Z", trip_distance_km=2), modified=new
        )
        report = house.run()
        assert (report.status, report.accepted, report.duplicates) == ("succeeded", 1, 1)
        [row] = house.query("SELECT trip_distance_km, event_version FROM silver_car_telemetry").to_pylist()
        assert (row["trip_distance_km"], row["event_version"]) == (2.0, new)
        assert problems(house) == []


def test_a_lake_that_may_only_be_read(tmp_path: Path) -> None:
    with lakehouse(tmp_path / "lake") as house:
        put(house.lake.landing / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z"))
        house.run()
        put(house.lake.landing / "b.json", nested("A", "e2", "2025-10-01T00:00:00Z"))
    open_to_all(tmp_path / "lake")
    folders = [tmp_path / "lake", *(path for path in (tmp_path / "lake").rglob("*"))]
    modes = {path: path.stat().st_mode for path in folders}
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with ordinary_user(), pytest.raises(CarlakeError, match="lake"):
            with lakehouse(tmp_path / "lake") as house:
                house.run()
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    with lakehouse(tmp_path / "lake") as house:
        assert house.run().accepted == 1
        assert problems(house) == []
