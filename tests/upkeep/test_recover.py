"""Recover: a lake is damaged in each way that a machine or a person can; doctor names it, recover makes it whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.upkeep.damages import (
    DAMAGES,
    SETTINGS,
    Contents,
    Damage,
    contents,
    data_files,
    look,
    manifests,
    now,
    opened,
    pointer,
)

from carlake.cli.app import call
from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import BOOKMARK
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.inspection.ledger import HeldObject
from carlake.upkeep.recovery.assembly import _doubtful
from carlake.upkeep.recovery.catalog import make_anew
from carlake.upkeep.recovery.plan import RecoveryStep, plan
from carlake.upkeep.recovery.recover import Recovery
from lakes import BRONZE, SILVER, bookmark, iceberg, rows_of


def recovered(root: Path, **how: Any) -> Recovery:
    """Recover the lake, at the tests' time."""
    done = Lakehouse.recover(root, SETTINGS, clock=now, **how)
    assert done.ok, done.verification.problems
    return done


def actions(root: Path) -> list[str]:
    """What a recovery would do."""
    return [step.action for step in plan(look(root)).steps]


def files_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def test_a_whole_lake_is_well_and_stays_as_it_is(lake: Path) -> None:
    found = look(lake)
    assert diagnose(found).findings == ()
    assert [step.action for step in plan(found).steps] == ["run", "verify"]
    before = files_of(lake / "warehouse")
    done = recovered(lake)
    assert not done.lost
    assert files_of(lake / "warehouse") == before


FIRST = {damage.check: damage for damage in reversed(DAMAGES)}


@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGES if damage != FIRST[damage.check]], ids=lambda damage: damage.name
)
def test_a_damage_is_named_and_mended(lake: Path, rows: Contents, damage: Damage) -> None:
    """The first of each check is mended by the commands of the runbook, in test_doctor."""
    said = damage.do(lake)
    quick = diagnose(look(lake, deep=damage.deep))
    named = [f for f in quick.findings if f.check == damage.check]
    assert any(said in f"{f.where}: {f.what}" for f in named), (said, quick.findings)
    assert not any("could not be checked" in f.what for f in quick.findings), quick.findings
    planned = {(step.action, step.target) for step in plan(look(lake)).steps if step.action != "verify"}
    done = recovered(lake)
    assert planned <= {(step.action, step.target) for step in done.steps}
    assert contents(lake) == rows
    found = look(lake)
    assert [f for f in diagnose(found).findings if f.check != "orphan-files"] == []
    assert [step.action for step in plan(found).steps] == ["run", "verify"]


class Stopped(BaseException):
    """The process is stopped."""


BREAKABLE = ("catalog cut short", "catalog of an old backup", "bronze's metadata all gone", "silver's data file cut")


@pytest.mark.parametrize("name", BREAKABLE)
def test_a_recovery_that_is_stopped_goes_on(lake: Path, rows: Contents, name: str) -> None:
    next(damage for damage in DAMAGES if damage.name == name).do(lake)
    stops = 0
    for after in range(20):
        steps: list[RecoveryStep] = []

        def say(step: RecoveryStep, steps: list[RecoveryStep] = steps, after: int = after) -> None:
            steps.append(step)
            if len(steps) > after % 4:
                raise Stopped

        try:
            recovered(lake, say=say)
        except Stopped:
            stops += 1
            continue
        break
    assert stops >= 2
    recovered(lake)
    assert contents(lake) == rows


def test_what_neither_bronze_nor_the_archive_holds_is_named(lake: Path) -> None:
    """The archive is lost, too: the objects of the lost file are gone, the others stay, and every table says the same."""
    objects = {path.parent.name for path in (lake / "archive").glob("*/*/*")}
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    with opened(lake) as house:
        before = len(rows_of(house, BRONZE))
    gone = data_files(lake, BRONZE)[0]
    gone.unlink()
    done = recovered(lake)
    assert [f"{item.what} {item.why}" for item in done.damaged] == [f"data file {gone} is missing"]
    with opened(lake) as house:
        lost = before - len(rows_of(house, BRONZE))
        held = {row["source_id"] for row in rows_of(house, BRONZE)}
        (name,) = objects - held
        assert [item.what for item in done.lost] == [
            f"object {name}",
            f"{lost} of the {lost} records in the damaged data files of {BRONZE}",
        ]
        assert held < objects and len(held) == len(objects) - 1
        assert {row["source_id"] for row in house.query(f"SELECT source_id FROM {SILVER}").to_pylist()} <= held


def test_a_damaged_archive_object_is_named_and_what_it_holds_is_landed(lake: Path) -> None:
    data_files(lake, BRONZE)[0].unlink()
    before = {path.parent.name for path in (lake / "archive").glob("*/*/*")}
    for path in (lake / "archive").glob("*/*/*"):
        path.write_bytes(path.read_bytes() + b'{"no": "contract"}\n')
    done = recovered(lake)
    lost = [item.what for item in done.lost]
    assert len(done.damaged) == 1 and done.damaged[0].what.startswith("data file")
    assert len(lost) == 2 and lost[1].endswith(f"records in the damaged data files of {BRONZE}")
    assert any(source_id in lost[0] for source_id in before)


def test_what_came_back_is_damaged_and_not_lost(lake: Path, rows: Contents, capsys: pytest.CaptureFixture[str]) -> None:
    """A data file of bronze and one of silver are cut short; the archive and bronze hold all that was in them."""
    for recover in (recovered, lambda root: call(["--lake", str(root), "recover", "--yes"])):
        for name in (BRONZE, SILVER):
            data_files(lake, name)[0].write_bytes(b"x")
        done = recover(lake)
        if isinstance(done, Recovery):
            assert len(done.damaged) == 2 and not done.lost
            assert contents(lake) == rows
    said = capsys.readouterr().out
    for name in (BRONZE, SILVER):
        assert re.search(rf"^damaged  data file \S+{name}\S+ is 1 byte long and not \d", said, re.MULTILINE)
    assert "\nlost" not in said
    assert "Nothing is lost: what the damaged files held was made again.\n" in said


def test_records_of_a_commit_that_was_lost_with_its_metadata_come_back(lake: Path, rows: Contents) -> None:
    """Nothing but the data file of bronze's last commit is left: no archive, and the metadata before it is current."""
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    pointer(lake, BRONZE).unlink()
    assert any(f.check == "metadata-damaged" for f in diagnose(look(lake)).findings)
    recovered(lake)
    assert contents(lake) == rows


def test_whole_objects_are_thrown_away_for_no_damaged_copy(lake: Path, rows: Contents) -> None:
    """Which data files bronze has is lost, and every copy in the archive is damaged."""
    manifests(lake, BRONZE)[0].unlink()
    for path in (lake / "archive").glob("*/*/*"):
        path.write_bytes(path.read_bytes()[:100])
    recovered(lake)
    assert contents(lake) == rows


def test_a_run_after_a_recovery_that_was_stopped_halfway(lake: Path) -> None:
    """Bronze has lost an object for good, and the tables made from it were not reached."""
    for path in (lake / "archive").glob("*/*/*"):
        path.unlink()
    data_files(lake, BRONZE)[0].unlink()

    def say(step: RecoveryStep) -> None:
        if step.action == "remake":
            raise Stopped

    with pytest.raises(Stopped):
        recovered(lake, say=say)
    with opened(lake) as house:
        assert not house.verify().ok
        assert house.run().status == "succeeded"
        assert house.verify().problems == ()


def test_a_record_that_another_program_changed_is_as_it_was_landed_again(lake: Path, rows: Contents) -> None:
    with opened(lake) as house:
        table = iceberg(house, BRONZE)
        mark = bookmark(house, BRONZE)
        assert mark is not None
        changed = table.scan().to_arrow()
        raw = changed["raw"].to_pylist()
        raw[0] = '{"event_id": "forged"}'
        column = changed.schema.get_field_index("raw")
        changed = changed.set_column(column, changed.schema.field("raw"), pa.array(raw, changed["raw"].type))
        table.overwrite(changed, snapshot_properties={BOOKMARK: mark.to_text()})
        house.run()
        assert not house.verify().ok
    recovered(lake)
    assert contents(lake) == rows


def test_a_damaged_catalog_is_set_aside_with_its_journal(lake: Path, rows: Contents) -> None:
    """SQLite would roll the new catalog back by the journal of the old one."""
    pointers = look(lake).catalog.pointers
    (lake / "catalog.db").write_bytes(b"damaged")
    (lake / "catalog.db-journal").write_bytes(b"of the damaged file")
    aside = make_anew(look(lake).lake, "carlake", pointers)
    assert aside is not None and aside.read_bytes() == b"damaged"
    assert Path(f"{aside}-journal").read_bytes() == b"of the damaged file"
    assert not (lake / "catalog.db-journal").exists()
    assert contents(lake) == rows


def test_a_long_object_may_have_lost_its_end(lake: Path) -> None:
    """A long object has files of its own, one of which may be lost; of a file's short ones a merge may have cut the last."""
    shared, own, other = Path("shared"), Path("own"), Path("own too")
    held = {
        "a": HeldObject("a", "a", {0}, files={shared}),
        "b": HeldObject("b", "b", {0, 1}, files={shared}),
        "c": HeldObject("c", "c", {0, 1}, files={own, other}),
    }
    assert _doubtful(look(lake), held, [], {}) == set()
    assert _doubtful(look(lake), held, [(Path("lost"), "is missing")], {}) == {"b", "c"}
