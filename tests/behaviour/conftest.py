"""A lake with some history, made once for a module and put back as it was for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from carlake.lakehouse import Lakehouse
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import clear, lakehouse

FLEET = Fleet(events=60, cars=4, corrections=0.2, duplicates=0.1, bad=0.1, flat=0.2)


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    folder = Path(
        tempfile.mkdtemp(prefix="carlake-test-", dir=memory if in_memory else tmp_path_factory.mktemp("lake"))
    )
    with lakehouse(folder / "lake") as house:
        for path in write(FLEET, house.lake.landing, files=3).paths:
            path.rename(folder / path.name)
        for path in sorted(folder.glob("*.ndjson")):
            path.rename(house.lake.landing / path.name)
            assert house.run().status == "succeeded"
    shutil.copytree(folder / "lake", folder / "kept")
    yield folder
    clear(folder)


@pytest.fixture
def house(_made: Path) -> Iterator[Lakehouse]:
    """Three runs over objects in landing, all archived: three snapshots of each table. Whatever a test does is undone."""
    clear(_made / "lake")
    shutil.copytree(_made / "kept", _made / "lake")
    with lakehouse(_made / "lake") as opened:
        yield opened
