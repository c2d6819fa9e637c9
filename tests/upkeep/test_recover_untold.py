"""A recovery that is broken off has mended what it found: the next one tells it all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.upkeep.damages import data_files, look, opened
from tests.upkeep.test_recover import Stopped, recovered

from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.recovery import tables
from carlake.upkeep.recovery.plan import RecoveryStep
from carlake.upkeep.recovery.recover import Recovery
from lakes import ALERTS, BRONZE, SILVER, nested, put

Found = tuple[list[str], list[str]]


def _damaged(lake: Path) -> None:
    """An object is in one data file of bronze alone, which is gone; two more files are cut."""
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    data_files(lake, BRONZE)[0].unlink()
    for name in (SILVER, ALERTS):
        data_files(lake, name)[0].write_bytes(b"x")


def _found(done: Recovery) -> Found:
    return sorted(f"{one.what} {one.why}" for one in done.damaged), sorted(f"{one.what} {one.why}" for one in done.lost)


@pytest.fixture
def undisturbed(lake: Path, tmp_path: Path) -> tuple[Found, Callable[[], None]]:
    """What a recovery finds that nothing breaks off, and a call that brings the damaged lake back."""
    _damaged(lake)
    kept = tmp_path / "kept"
    shutil.copytree(lake, kept, symlinks=True)

    def again() -> None:
        shutil.rmtree(lake)
        shutil.copytree(kept, lake, symlinks=True)

    found = _found(recovered(lake))
    assert len(found[0]) == 3 and len(found[1]) == 2
    again()
    return found, again


def _untold(lake: Path) -> bool:
    return any(one.check == "recovery-broken-off" for one in diagnose(look(lake, deep=False)).findings)


def test_before_any_step(lake: Path, undisturbed: tuple[Found, Callable[[], None]]) -> None:
    wanted, again = undisturbed
    told = []
    for before in range(30):
        again()
        steps: list[RecoveryStep] = []

        def say(step: RecoveryStep, steps: list[RecoveryStep] = steps, before: int = before) -> None:
            steps.append(step)
            if len(steps) > before:
                raise Stopped

        try:
            recovered(lake, say=say)
        except Stopped:
            told.append(_untold(lake))
            assert _found(recovered(lake)) == wanted, steps[-1]
            assert not _untold(lake)
            continue
        break
    assert len(told) > 5 and not told[0] and all(told[2:])


def test_what_found_nothing_damaged_leaves_nothing(lake: Path) -> None:
    (lake / "catalog.db").unlink()

    def say(step: RecoveryStep) -> None:
        if step.action == "verify":
            raise Stopped

    with pytest.raises(Stopped):
        recovered(lake, say=say)
    assert not _untold(lake)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(3))
def test_around_a_commit(
    lake: Path,
    undisturbed: tuple[Found, Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    number: int,
) -> None:
    """The findings of a step that has not committed are found again, and count once."""
    publish, commits = tables.publish, []

    def broken_off(*what: Any, **how: Any) -> None:
        commits.append(what)
        last = len(commits) == number + 1
        if last and moment == "before":
            raise Stopped
        publish(*what, **how)
        if last:
            raise Stopped

    monkeypatch.setattr(tables, "publish", broken_off)
    with pytest.raises(Stopped):
        recovered(lake)
    monkeypatch.undo()
    assert _found(recovered(lake)) == undisturbed[0]


def test_what_others_commit_meanwhile(lake: Path, undisturbed: tuple[Found, Callable[[], None]]) -> None:
    """Broken off before its first commit, and then a run: what was noted is found again, and counts once."""
    note = '[{"table": "bronze_car_data", "seen": %d, "toll": {"damaged": [], "lost": [], "held": 50, "rows": {}}}]'
    seen = look(lake).head(BRONZE)
    assert seen is not None
    (lake / ".carlake" / "recovery.json").write_text(note % seen)
    with opened(lake) as house:
        put(lake / "landing" / "more.json", nested("Z", "z1", "2025-10-01T00:00:00Z"))
        house.run()
        assert look(lake).head(BRONZE) != seen
    assert _found(recovered(lake)) == undisturbed[0]


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"table": 1}]', '{"a": 1}'])
def test_a_file_that_says_nothing(lake: Path, content: str) -> None:
    (lake / ".carlake" / "recovery.json").write_text(content)
    done = recovered(lake)
    assert not done.damaged and not done.lost and not _untold(lake)
