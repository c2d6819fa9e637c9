"""A process is killed at each kind of boundary between two effects; another goes on, and nothing shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crashes.boundaries import Boundary
from crashes.matrix import Matrix

# What the proxy must see of a run, or it is blind where it matters. What is kept in memory until its file is complete
# and what only makes folders is left to `make torture`.
EFFECTS = {
    "end data file",
    "rename data file",
    "end manifest",
    "end manifest list",
    "end metadata",
    "swap",
    "link landing object to archive object",
    "rename landing object to object on its way out",
    "remove object on its way out",
    "remove folder on the way out",
}


def once_each(matrix: Matrix) -> list[Boundary]:
    """One boundary of each kind. What comes after an effect comes before the next: only after a swap it is memory that
    differs, of a process that knows and of one that does not.
    """
    return [
        each
        for each in matrix.one_of_each_kind()
        if each.name.partition(" of ")[0] in EFFECTS and (each.when == "before" or each.name.startswith("swap"))
    ]


def test_a_run_that_is_killed_at_each_kind_of_boundary(small_folder: Path) -> None:
    matrix = Matrix("run", small_folder)
    names = {boundary.name.partition(" of ")[0] for boundary in matrix.boundaries}
    assert names >= EFFECTS
    swaps = [boundary.name for boundary in matrix.boundaries if boundary.kind == "after swap"]
    assert len(swaps) == len(set(swaps)) == 7, "one swap for each table, the runs' own included"
    points = once_each(matrix)
    assert len(points) == len(EFFECTS) + 1
    assert [wrong for point in points for wrong in matrix.interrupt(point)] == []


@pytest.mark.parametrize("name", ["first run", "rebuild"])
def test_another_operation_that_is_killed_at_a_swap(small_folder: Path, name: str) -> None:
    """All boundaries of each operation: `make torture`."""
    matrix = Matrix(name, small_folder)
    swaps = [boundary for boundary in matrix.boundaries if boundary.kind == "after swap"]
    assert swaps
    assert [wrong for point in {swaps[0], swaps[-1]} for wrong in matrix.interrupt(point, look=True)] == []
