"""Power is lost right after the catalog has swapped: what it names must be on the disk, and nothing be lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from crashes.boundaries import Boundary
from crashes.matrix import Matrix
from crashes.power import Disk, lose, lose_power, points


def test_power_lost_after_a_swap_and_on_the_way_to_the_archive(small_folder: Path) -> None:
    """Every swap, and every step of archiving, of every operation: `make torture`."""
    matrix = Matrix("run", small_folder)
    found = points(matrix)
    swaps = [each for each in found if each.kind == "after swap"][::3]
    steps = [each for each in found if each.name.startswith("remove object")][:1]
    assert len(swaps) == 3
    assert steps
    outcomes = [lose_power(matrix, each, seed=1) for each in [*swaps, *steps]]
    assert [wrong for _, wrongs in outcomes for wrong in wrongs] == []


@pytest.mark.parametrize("seed", range(3))
def test_the_model_loses_what_was_not_synced_and_nothing_else(tmp_path: Path, seed: int) -> None:
    disk = Disk(str(tmp_path), tmp_path)
    safe, torn = tmp_path / "safe", tmp_path / "torn"
    for path in (safe, torn):
        disk.see(Boundary("begin data file", 1, "before", str(path)))
        path.write_bytes(b"content" * 100)
    disk.synced(str(safe))
    disk.synced(str(tmp_path))
    assert disk.unsafe() == {"files": [str(torn)], "names": [], "moves": []}
    disk.moved(str(torn), str(tmp_path / "renamed"))
    torn.rename(tmp_path / "renamed")
    unsafe = json.loads(json.dumps(disk.unsafe()))
    assert unsafe["files"] == [str(tmp_path / "renamed")]
    assert unsafe["moves"] == [["rename", str(torn), str(tmp_path / "renamed")]]
    lose(unsafe, random.Random(seed))
    assert safe.read_bytes() == b"content" * 100
    left = [path for path in (torn, tmp_path / "renamed") if path.exists()]
    assert len(left) == 1
    disk.flushed()
    assert disk.unsafe() == {"files": [], "names": [], "moves": []}
