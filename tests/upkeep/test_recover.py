"""Recover: a lake is damaged in each way that a machine or a person can; doctor names it, recover makes it whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.upkeep.damages import DAMAGES, NOW, Damage, opened

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import clear, held, rows_of

FLEET = Fleet(events=60, cars=4, corrections=0.2, duplicates=0.1, bad=0.1, flat=0.2)
CLOCK = {"settings": Settings(threads=1), "clock": lambda: NOW}
BRONZE = "bronze_car_data"


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
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
    yield folder
    clear(folder)


@pytest.fixture
def lake(_made: Path) -> Path:
    """The folder of a lake with three runs, all objects archived. Whatever a test does is undone."""
    for path in _made.iterdir():
        if path.name != "kept":
            clear(path) if path.is_dir() else path.unlink()
    shutil.copytree(_made / "kept", _made / "lake", symlinks=True)
    return _made / "lake"


def contents(root: Path) -> dict[str, object]:
    """Every row of every table that people read, and bronze's."""
    with opened(root) as house:
        bronze = [{k: v for k, v in row.items() if k not in ("source_uri",)} for row in rows_of(house, BRONZE)]
        return {**held(house), BRONZE: bronze}


def test_a_whole_lake_is_well_and_stays_as_it_is(lake: Path) -> None:
    assert Lakehouse.doctor(lake, deep=True, **CLOCK).findings == ()
    plan = Lakehouse.plan_recovery(lake, **CLOCK)
    assert [step.action for step in plan.steps] == ["run", "verify"]
    before = sorted(path for path in lake.rglob("*") if ".carlake" not in path.parts)
    done = Lakehouse.recover(lake, **CLOCK)
    assert done.ok and not done.lost
    assert sorted(path for path in lake.rglob("*") if ".carlake" not in path.parts) == before


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damage_is_named_and_mended(lake: Path, damage: Damage) -> None:
    before = contents(lake)
    said = damage.do(lake)
    quick = Lakehouse.doctor(lake, deep=damage.deep, **CLOCK)
    named = [f for f in quick.findings if f.check == damage.check]
    assert named, quick.findings
    assert any(said in f"{f.where}: {f.what}" for f in named), (said, named)
    assert not any("could not be checked" in f.what for f in quick.findings), quick.findings

    state = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file() and not path.is_symlink()}
    plan = Lakehouse.plan_recovery(lake, **CLOCK)
    assert state == {path: path.read_bytes() for path in lake.rglob("*") if path.is_file() and not path.is_symlink()}
    done = Lakehouse.recover(lake, **CLOCK)
    assert done.ok, done.verification.problems
    assert {(s.action, s.target) for s in plan.steps if s.action != "verify"} <= {
        (s.action, s.target) for s in done.steps
    }
    after = contents(lake)
    if damage.check != "archive-ahead":
        assert after == before
    left = Lakehouse.doctor(lake, deep=True, **CLOCK).findings
    assert [f for f in left if f.severity == "error"] == []
    assert damage.check in ("landing-unreadable",) or damage.check not in {f.check for f in left}, left
    assert [step.action for step in Lakehouse.plan_recovery(lake, **CLOCK).steps] == ["run", "verify"]
