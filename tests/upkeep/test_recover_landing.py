"""Recover: what still waits in landing, or was on its way out of it, is landed and never removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.upkeep.damages import look, now, opened
from tests.upkeep.test_recover import recovered

from carlake.landing.listing import MOVING
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.checks.landing import leftovers
from carlake.upkeep.recovery.recover import _remove
from lakes import BRONZE, nested, put, rows_of


def _old(path: Path) -> Path:
    moment = time.time() - 7200
    os.utime(path, (moment, moment))
    return path


def test_an_object_that_a_crash_left_on_its_way_out_is_landed(lake: Path) -> None:
    """The process died between two renames; what it took was newer than what it had read."""
    folder, empty = lake / "landing" / f"{MOVING}0011223344556677", lake / "landing" / f"{MOVING}0000000000000000"
    folder.mkdir()
    empty.mkdir()
    _old(put(folder / "newer.json", nested("ZZ", "newer", "2025-10-01T00:00:00Z")))
    _old(folder)
    _old(empty)
    assert leftovers(look(lake)) == [empty]
    assert any(str(empty) == finding.where for finding in diagnose(look(lake)).findings)
    recovered(lake)
    with opened(lake) as house:
        assert any("newer.json" in row["source_uri"] for row in rows_of(house, BRONZE))
    assert list(lake.glob("archive/*/*/newer.json")) and not empty.exists()
    assert leftovers(look(lake)) == []


def test_an_object_that_comes_while_leftovers_are_removed_stays(lake: Path) -> None:
    """The folder was empty when it was looked at."""
    folder = lake / "landing" / f"{MOVING}0011223344556677"
    folder.mkdir()
    put(folder / "newer.json", nested("ZZ", "newer", now().isoformat()))
    _remove(folder)
    assert (folder / "newer.json").exists()


def test_what_tries_and_halves_have_left_goes(lake: Path) -> None:
    """A doctor, a copy into the archive, a note beside it and a note of a recovery, each killed halfway."""
    archived = sorted((lake / "archive").glob("*/*"))[0]
    (lake / "archive" / ".rewritten").mkdir(exist_ok=True)
    left = [
        *(lake / folder / ".carlake-try-99999999" for folder in (".", "landing", "archive", "warehouse")),
        lake / "landing" / ".carlake-try-99999999.renamed",
        _old(put(archived / ".0123456789abcdef.part", "half")),
        _old(put(lake / "archive" / ".rewritten" / ".0123456789abcdef.tmp", "half")),
        _old(put(lake / ".carlake" / ".0123456789abcdef.tmp", "half")),
    ]
    for path in left[:5]:
        path.write_text("half")
    living = lake / "landing" / f".carlake-try-{os.getppid()}"
    living.write_text("a doctor that goes on")
    assert leftovers(look(lake)) == sorted(left)
    recovered(lake)
    assert [path for path in left if path.exists()] == [] and living.exists()
