"""A recovery that is broken off has mended what it found: the next one tells it all the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.upkeep.damages import Contents, data_files, look, opened, table_folder
from tests.upkeep.test_recover import Stopped, recovered
from tests.upkeep.test_recover_kept import with_retention

from carlake.landing.landed import LandedObject
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.recovery import land_again, tables
from carlake.upkeep.recovery.plan import RecoveryStep
from carlake.upkeep.recovery.recover import Recovery
from carlake.upkeep.recovery.tables import Lost, Toll
from carlake.upkeep.recovery.untold import Untold
from lakes import ALERTS, BRONZE, SILVER, nested, put, rows_of

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


def _note(table: str, run_id: str, toll: Toll) -> dict[str, Any]:
    return {"table": table, "run_id": run_id, "toll": asdict(toll), "done": False}


def _write(lake: Path, *notes: dict[str, Any]) -> Path:
    file = lake / ".carlake" / "recovery" / "before.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"notes": notes}))
    return file


def test_what_others_commit_meanwhile(lake: Path, undisturbed: tuple[Found, Callable[[], None]]) -> None:
    """Broken off before its first commit, and then a run: what was noted is found again, and counts once."""
    _write(lake, _note(BRONZE, "no run", Toll(held=50)))
    with opened(lake) as house:
        put(lake / "landing" / "more.json", nested("Z", "z1", "2025-10-01T00:00:00Z"))
        house.run()
    assert _found(recovered(lake)) == undisturbed[0]


def test_a_run_between_the_commits_of_one_step(lake: Path, rows: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run makes silver again once the recovery has committed what can be read: the recovery's own is refused."""
    with_retention(lake)
    kept = [file for file in data_files(lake, SILVER) if file.exists()]
    kept[0].unlink()
    publish, commits = tables.publish, []

    def beside(*what: Any, **how: Any) -> None:
        publish(*what, **how)
        commits.append(what)
        if len(commits) == 1:
            with opened(lake) as house:
                assert [step.why for step in house.run().steps if step.table == SILVER] == ["history"]

    monkeypatch.setattr(tables, "publish", beside)
    done = recovered(lake)
    assert len(commits) > 1
    assert [one.what for one in done.damaged] == [f"data file {kept[0]}"]
    (lost,) = done.lost
    assert lost.what.endswith(f" of {SILVER}")


def test_rows_that_come_meanwhile_hide_none_that_are_lost(lake: Path) -> None:
    with_retention(lake)
    with opened(lake) as house:
        before = len(rows_of(house, SILVER))
    data_files(lake, SILVER)[0].unlink()
    put(lake / "landing" / "more.json", *(nested("Z", f"z{n}", "2025-10-01T00:00:00Z") for n in range(100)))
    (lost,) = recovered(lake).lost
    with opened(lake) as house:
        few = before - (len(rows_of(house, SILVER)) - 100)
    assert lost.what == f"{few} row{'s' if few > 1 else ''} of {SILVER}"


def test_bronze_without_metadata_just_before_its_commit(
    lake: Path, undisturbed: tuple[Found, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its empty table is made already, so that nothing of it is to be mended any more."""
    shutil.rmtree(table_folder(lake, BRONZE) / "metadata")

    def broken_off(*what: Any, **how: Any) -> None:
        raise Stopped

    kept = lake.with_name("again")
    shutil.copytree(lake, kept, symlinks=True)
    wanted = [one.what for one in recovered(lake).lost if one.what.startswith("object")]
    assert wanted
    shutil.rmtree(lake)
    kept.rename(lake)
    monkeypatch.setattr(tables, "publish", broken_off)
    with pytest.raises(Stopped):
        recovered(lake)
    monkeypatch.undo()
    assert [one.what for one in recovered(lake).lost if one.what.startswith("object")] == wanted


def test_what_came_back_meanwhile_is_not_lost(lake: Path, tmp_path: Path) -> None:
    """The archive is put back from a backup after a recovery has mourned for it, and was broken off."""
    shutil.copytree(lake / "archive", tmp_path / "archive")
    _damaged(lake)

    def say(step: RecoveryStep) -> None:
        if step.action == "remake":
            raise Stopped

    with pytest.raises(Stopped):
        recovered(lake, say=say)
    shutil.rmtree(lake / "archive")
    shutil.copytree(tmp_path / "archive", lake / "archive")
    done = recovered(lake)
    assert not done.lost and len(done.damaged) == 3


def test_two_recoveries_leave_each_other_their_own(lake: Path, undisturbed: tuple[Found, Callable[[], None]]) -> None:
    """One ends while the other has mended and is killed: what it has not read it does not remove."""
    whole = lake.with_name("whole")
    shutil.copytree(lake, whole, symlinks=True)
    begun = Untold(look(lake).lake)

    def say(step: RecoveryStep) -> None:
        if step.action == "verify":
            raise Stopped

    with pytest.raises(Stopped):
        recovered(lake, say=say)
    begun.note(SILVER, "a run", Toll(held=1))
    begun.told()
    assert _untold(lake)
    assert _found(recovered(lake)) == undisturbed[0]


def _lost(*names: str) -> Toll:
    return Toll(lost=[Lost(name, "gone") for name in names])


def _kept(lake: Path) -> list[str]:
    return [one.what for one in Untold(look(lake).lake).toll(lambda name: None).lost]


def test_a_step_without_a_commit_takes_no_other_steps_place(lake: Path) -> None:
    untold = Untold(look(lake).lake)
    untold.note("", "holds", _lost("a rollback"))
    untold.note("", "archive", _lost("a copy"))
    untold.note("", "archive", found := _lost("a copy", "another"))
    found.lost.append(Lost("a third", "found meanwhile"))
    untold.note("", "archive", found)
    assert _kept(lake) == ["a rollback", "a copy", "another", "a third"]


def test_what_another_recovery_found_since_it_was_read_stays(lake: Path) -> None:
    goes_on = Untold(look(lake).lake)
    goes_on.note("", "first", _lost("first"))
    ends = Untold(look(lake).lake)
    goes_on.note("", "second", _lost("second"))
    ends.told()
    assert _kept(lake) == ["first", "second"]
    goes_on.told()
    assert _kept(lake) == []


def test_what_two_recoveries_could_not_make_again_adds_up(lake: Path) -> None:
    toll = Toll(short={SILVER: 5})
    toll.add(Toll(short={SILVER: 7}, rows={SILVER: (20, 3)}))
    assert [one.what for one in toll.not_made_again(lambda name: 20, 0)] == [f"12 rows of {SILVER}"]
    assert [one.what for one in toll.not_made_again(lambda name: 10, 0)] == [f"up to 15 rows of {SILVER}"]


def test_what_the_command_could_not_say_is_said_again(lake: Path) -> None:
    _damaged(lake)
    command = [sys.executable, "-c", "from carlake.cli.app import call; import sys; sys.exit(call(sys.argv[1:]))"]
    command += ["recover", "--yes", "--lake", str(lake)]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False).returncode != 0
    assert _untold(lake)
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0 and "\nlost" in said.stdout and said.stdout.count("damaged  ") == 3
    assert not _untold(lake)


def test_a_damaged_copy_in_the_archive_is_named_before_it_gets_another_place(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_files(lake, BRONZE)[0].unlink()
    for path in (lake / "archive").glob("*/*/*"):
        path.write_bytes(path.read_bytes() + b'{"no": "contract"}\n')
    rename = land_again.renamed_rightly

    def broken_off(landed: LandedObject, content_hash: str) -> str:
        rename(landed, content_hash)
        raise Stopped

    monkeypatch.setattr(land_again, "renamed_rightly", broken_off)
    with pytest.raises(Stopped):
        recovered(lake)
    monkeypatch.undo()
    assert any("its copy in the archive is damaged" in one.why for one in recovered(lake).lost)


def test_a_name_that_is_forgotten_leaves_what_was_found(lake: Path) -> None:
    """A car whose name is a number, or a word of the file."""
    with opened(lake) as house:
        put(
            house.lake.landing / "more.json",
            nested("28", "z1", "2025-10-01T00:00:00Z"),
            nested("held", "z2", "2025-10-01T00:00:00Z"),
        )
        house.run()
        file = _write(lake, _note("", "a", Toll(held=28, lost=[Lost("object held/28", "gone")])))
        for name in ("28", "held"):
            house.forget(name, unknown=True)
    toll = json.loads(file.read_text())["notes"][0]["toll"]
    assert toll["held"] == 28 and "28" not in toll["lost"][0]["what"] and "held" not in toll["lost"][0]["what"]


def test_a_copy_of_a_lake_lands_nothing_of_the_other(lake: Path, tmp_path: Path) -> None:
    left = put(tmp_path / "other" / "left.json", nested("Z", "z1", "2025-10-01T00:00:00Z"))
    _write(lake, _note("", "a", Toll(land=[str(left)])))
    recovered(lake)
    with opened(lake) as house:
        assert not any("left.json" in row["source_uri"] for row in rows_of(house, BRONZE))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", '[{"table": 1}]', '{"a": 1}', '{"notes": [{"toll": {"rows": []}}]}', "\x00", '{"notes": [1]}'],
)
def test_a_file_that_cannot_be_read_is_set_aside(lake: Path, content: str) -> None:
    file = _write(lake)
    file.write_text(content)
    done = recovered(lake)
    assert [str(file) in one.what for one in done.lost] == [True] and not _untold(lake)
    assert file.with_suffix(".unread").read_text() == content
