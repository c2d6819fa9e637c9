"""A recovery beside processes that go on writing: nothing that they commit while it looks is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.upkeep.damages import data_files, opened
from tests.upkeep.test_recover import recovered

from carlake.errors import CommitRefusedError, LakeError
from carlake.lakehouse import Lakehouse
from carlake.upkeep.recovery import bronze, recover
from lakes import BRONZE, OPS_RUNS, SILVER, nested, put, rows_of

LATE = nested("LATE", "late", "2025-10-09T00:00:00Z", engine_temp_celsius=50)


def events(house: Lakehouse, name: str) -> list[object]:
    return [row["event_id"] for row in rows_of(house, name) if row["event_id"] == "late"]


def once(monkeypatch: pytest.MonkeyPatch, where: object, name: str, then: Callable[[], object]) -> list[object]:
    """Let something happen after the first call of a function; gives what came of it."""
    original, happened = getattr(where, name), list[object]()

    def looked(*what: Any, **how: Any) -> Any:
        found = original(*what, **how)
        if not happened:
            happened.append(then())
        return found

    monkeypatch.setattr(where, name, looked)
    return happened


@pytest.mark.parametrize("healed", [False, True], ids=["damaged", "only outside"])
def test_what_lands_while_bronzes_files_are_read_stays(
    lake: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch, healed: bool
) -> None:
    """Both where bronze is put together anew, and where an object is taken in beside the others."""
    path = put(small_folder / "late.json", LATE)
    if healed:
        before = {
            found: found.read_bytes() for found in lake.rglob("*") if found.is_file() and "archive" not in found.parts
        }
        with opened(lake) as other:
            other.run([str(path)])
        for found in lake.rglob("*"):
            if found.is_file() and found not in before and found.suffix != ".parquet":
                found.unlink()
        for found, content in before.items():
            found.write_bytes(content)
    else:
        data_files(lake, BRONZE)[0].unlink()
    with opened(lake) as other:
        happened = once(monkeypatch, bronze, "assemble", lambda: other.run([str(path)]).status)
        done = recovered(lake)
    assert happened == ["succeeded"]
    # A check that finds something wrong is followed by a second round.
    assert [step.action for step in done.steps].count("run") == 1
    with opened(lake) as house:
        assert events(house, BRONZE) == events(house, SILVER) == ["late"]


def test_what_is_written_down_while_ops_runs_is_read_stays(
    lake: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table that is made from no other, what can be read is kept; that is more than was there at the look."""
    path = put(small_folder / "late.json", LATE)
    data_files(lake, OPS_RUNS)[0].unlink()

    def ran() -> str:
        with opened(lake) as other:
            return other.run([str(path)]).run_id

    happened = once(monkeypatch, recover, "_good_files", ran)
    recovered(lake)
    with opened(lake) as house:
        assert happened[0] in house.query(f"SELECT run_id FROM {OPS_RUNS}")["run_id"].to_pylist()


def test_who_is_never_alone_says_so(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery looks again only so many times."""
    data_files(lake, BRONZE)[0].unlink()
    looked = []

    def refused(*_: object) -> None:
        looked.append(1)
        raise CommitRefusedError("Moved.")

    monkeypatch.setattr(recover, "put_together", refused)
    with pytest.raises(LakeError, match=f"{BRONZE} was written by others 20 times"):
        recovered(lake)
    assert len(looked) == 20
