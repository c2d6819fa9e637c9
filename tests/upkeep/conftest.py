"""A lake with three runs, made once; each test gets it whole, at the same place, and may do to it what it likes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.upkeep.damages import Contents, contents, opened

from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import clear

FLEET = Fleet(events=60, cars=4, corrections=0.2, duplicates=0.1, bad=0.1, flat=0.2)


@pytest.fixture(scope="session")
def _kept_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Contents]]:
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    folder = Path(
        tempfile.mkdtemp(prefix="carlake-test-", dir=memory if in_memory else tmp_path_factory.mktemp("lake"))
    )
    with opened(folder / "lake") as house:
        for path in write(FLEET, house.lake.landing, files=3).paths:
            path.rename(folder / path.name)
        for path in sorted(folder.glob("*.ndjson")):
            path.rename(house.lake.landing / path.name)
            assert house.run().status == "succeeded"
    shutil.copytree(folder / "lake", folder / "kept", symlinks=True)
    yield folder, contents(folder / "lake")
    clear(folder)


@pytest.fixture
def lake(_kept_lake: tuple[Path, Contents]) -> Path:
    """The folder of a lake with three runs, all objects archived. Whatever a test does there or beside it is undone."""
    folder, _ = _kept_lake
    for path in folder.iterdir():
        if path.name != "kept":
            clear(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    shutil.copytree(folder / "kept", folder / "lake", symlinks=True)
    return folder / "lake"


@pytest.fixture
def rows(_kept_lake: tuple[Path, Contents]) -> Contents:
    """What its tables hold."""
    return _kept_lake[1]
