"""The lakes that others read, and the readers. Each server is started once for all of these tests, which one worker runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lakes import lakehouse
from readers.lake import Read, fed
from servers import trino


@pytest.fixture(scope="session")
def running_trino() -> Iterator[trino.Trino]:
    """Trino, started once."""
    with trino.running() as server:
        yield server


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """The default: SQLite's file and local files."""
    folder = tmp_path_factory.mktemp("read")
    with lakehouse(folder / "lake") as house:
        yield fed(house, folder)
