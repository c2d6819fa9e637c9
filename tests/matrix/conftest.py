"""Each test of this folder runs on each combination."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.cells import Cell, CellLake
from matrix.shown import cells
from servers.shared import Servers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each combination that is to run."""
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", cells(metafunc.config, metafunc.function.__name__), ids=str)


@pytest.fixture
def lake(cell: Cell, servers: Servers, small_folder: Path) -> CellLake:
    """An empty lake of the combination."""
    return cell.lake(servers, small_folder)
