"""Objects that stay in landing once they are taken in: landing is what others have in their archive."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.upkeep.damages import contents, data_files, now
from tests.upkeep.test_recover_merged import _small, bronze_files

from carlake.engines.duckdb import files as duckdb_files
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.recovery.plan import RecoveryStep
from lakes import BRONZE, nested, put

LEAVE = Settings(threads=1, compact_files=2, after_landing="leave")


def made(lake: Path, *, merged: bool) -> None:
    """A lake of five objects of four records each, all of which lie in landing yet."""
    with Lakehouse.create(lake, LEAVE, clock=now) as house:
        for number in range(5):
            at = f"2025-10-01T00:00:0{number}Z"
            put(lake / "landing" / f"{number}.ndjson", *(nested(f"C{number}", f"e{n}", at) for n in range(4)))
            house.run()
        if merged:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(duckdb_files, "cut", _small)
                house.maintain([BRONZE])
    live = data_files(lake, BRONZE)
    for path in bronze_files(lake):
        if path not in live:
            path.unlink()
    assert not (lake / "archive").exists() or not any((lake / "archive").iterdir())


@pytest.mark.parametrize("convention", [{}, {"whole_when": "marker"}], ids=["renamed", "marked"])
@pytest.mark.parametrize("merged", [True, False], ids=["cut by a merge", "as landed"])
def test_what_lies_in_landing_is_landed_again(small_folder: Path, merged: bool, convention: dict[str, str]) -> None:
    """Whichever file is lost."""
    lake = small_folder / "lake"
    made(lake, merged=merged)
    before = contents(lake)
    whole = lake.rename(lake.with_name("whole"))
    for lost in sorted(path.name for path in bronze_files(whole)):
        shutil.copytree(whole, lake)
        next(path for path in bronze_files(lake) if path.name == lost).unlink()
        done = Lakehouse.recover(lake, LEAVE.model_copy(update=convention), clock=now)
        assert done.ok and not done.lost, done.lost
        assert contents(lake) == before
        shutil.rmtree(lake)


def test_an_object_that_another_process_takes_away_stops_nothing(small_folder: Path) -> None:
    """It lay in landing when bronze was put together, and is gone when it is to be landed again."""
    lake = small_folder / "lake"
    made(lake, merged=True)
    max(bronze_files(lake), key=lambda path: path.stat().st_mtime_ns).unlink()
    waits = sorted((lake / "landing").iterdir())

    def say(step: RecoveryStep) -> None:
        if step.action == "run":
            for path in waits[:-1]:
                path.unlink(missing_ok=True)

    done = Lakehouse.recover(lake, LEAVE, clock=now, say=say)
    assert done.ok
    assert any("records in the damaged data files" in each.what for each in done.lost)
