"""A lake that was moved or copied is made whole where it lies, with its history; the other place is not touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.upkeep.damages import SETTINGS, Contents, contents, data_files, look, now, opened, pointer
from tests.upkeep.test_recover import Stopped, actions, files_of, recovered

from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.inspection.place import Place
from carlake.upkeep.recovery.plan import RecoveryStep
from lakes import BRONZE, SILVER, iceberg, put


def history(root: Path) -> dict[str, list[tuple[int, int, int]]]:
    """Of each table every snapshot: its id, sequence number, and the number of rows that a reader of it gets."""
    found = {}
    with opened(root) as house:
        for name in house.declared:
            if house.catalog.table_exists(f"carlake.{name}"):
                table = iceberg(house, name)
                found[name] = [
                    (s.snapshot_id, s.sequence_number, table.scan(snapshot_id=s.snapshot_id).to_arrow().num_rows)
                    for s in table.metadata.snapshots
                ]
    return found


def paths_in_metadata(root: Path) -> set[str]:
    """The folders that the tables' newest metadata speaks of, down to the data files."""
    found = set()
    lake = look(root)
    for table in lake.tables.values():
        if table.current is None:
            continue
        found.add(table.current.metadata.location)
        for snapshot in table.current.metadata.snapshots:
            files = table.snapshot_files(snapshot)
            found |= {snapshot.manifest_list, *(file.file_path for file in files.data), *map(str, files.paths)}
    return found


def test_a_moved_lake_is_made_whole_in_its_new_place(lake: Path, rows: Contents) -> None:
    own, before = look(lake).own["id"], history(lake)
    moved = lake.with_name("moved to")
    lake.rename(moved)
    assert [f.check for f in diagnose(look(moved)).findings] == ["lake-moved"]
    with pytest.raises(LakeError, match=r"carlake recover --lake '.*/moved to'"):
        opened(moved)
    done = recovered(moved)
    assert {step.action for step in done.steps} == {"relocate", "identity", "point", "run"} - {"point"}
    assert not lake.exists()
    assert look(moved).own["id"] == own
    assert contents(moved) == rows
    after = history(moved)
    assert {name: after[name][: len(snapshots)] for name, snapshots in before.items()} == before
    assert all(str(moved) in path for path in paths_in_metadata(moved))
    assert diagnose(look(moved)).findings == ()


def test_a_copy_becomes_a_lake_of_its_own(lake: Path, rows: Contents) -> None:
    copy = lake.with_name("copy")
    # Linked, not copied: what is written in one place must not show in the other.
    shutil.copytree(lake, copy, copy_function=os.link, symlinks=True)
    before = files_of(lake)
    recovered(copy)
    assert files_of(lake) == before
    assert look(copy).own["id"] != look(lake).own["id"]
    assert contents(copy) == rows
    put(copy / "landing" / "more.json", '{"no": "contract"}')
    with opened(copy) as house:
        assert house.run().quarantined == 1
    assert files_of(lake) == before
    assert diagnose(look(lake)).findings == ()
    assert diagnose(look(copy)).findings == ()


def test_a_move_that_is_stopped_goes_on(lake: Path, rows: Contents) -> None:
    moved = lake.with_name("moved")
    lake.rename(moved)
    stops = 0
    for last in range(10):
        steps: list[RecoveryStep] = []

        def say(step: RecoveryStep, steps: list[RecoveryStep] = steps, last: int = last) -> None:
            steps.append(step)
            if len(steps) > last:
                raise Stopped

        try:
            recovered(moved, say=say)
        except Stopped:
            stops += 1
            continue
        break
    assert stops >= 3
    recovered(moved)
    assert contents(moved) == rows


def test_a_moved_lake_whose_catalog_named_its_new_place_already(lake: Path, rows: Contents) -> None:
    """As a crash between the catalog and carlake.toml leaves it."""
    moved = lake.with_name("moved")
    lake.rename(moved)
    toml = (moved / "carlake.toml").read_bytes()
    recovered(moved)
    (moved / "carlake.toml").write_bytes(toml)
    assert "relocate" in actions(moved)
    recovered(moved)
    assert contents(moved) == rows


@pytest.mark.parametrize("lost", ["catalog.db", "carlake.toml", "both", "manifest", "data"])
def test_a_moved_lake_that_lost_something_too(lake: Path, rows: Contents, lost: str) -> None:
    moved = lake.with_name("moved")
    metadata, data = pointer(lake, SILVER), data_files(lake, BRONZE)[0]
    lake.rename(moved)
    if lost in ("catalog.db", "both"):
        (moved / "catalog.db").unlink()
    if lost in ("carlake.toml", "both"):
        (moved / "carlake.toml").unlink()
    if lost == "manifest":
        for path in (moved / metadata.relative_to(lake)).parent.glob("*m0.avro"):
            path.unlink()
    if lost == "data":
        (moved / data.relative_to(lake)).unlink()
    recovered(moved)
    assert contents(moved) == rows


def test_settings_survive_a_move(lake: Path) -> None:
    moved = lake.with_name("moved")
    lake.rename(moved)
    toml = moved / "carlake.toml"
    toml.write_text(toml.read_text().replace('# after_landing = "move"', 'after_landing = "leave"'))
    Lakehouse.recover(moved, clock=now)
    with Lakehouse.open(moved) as house:
        assert house.settings.after_landing == "leave"
    assert toml.read_text().count("[lake]") == 1
    assert SETTINGS.after_landing == "move"


def test_paths_that_lie_in_each_other() -> None:
    inner = Place(root=Path("/a/lake/sub"), recorded=Path("/a/lake"))
    assert inner.path("file:///a/lake/warehouse/t") == Path("/a/lake/sub/warehouse/t")
    assert inner.path("/a/lake/sub/warehouse/t") == Path("/a/lake/sub/warehouse/t")
    outer = Place(root=Path("/a/lake"), recorded=Path("/a/lake/sub"))
    assert outer.path("file:///a/lake/sub/warehouse/t") == Path("/a/lake/warehouse/t")
    assert outer.path("file:///a/lake/warehouse/t") == Path("/a/lake/warehouse/t")
    assert outer.location("file:///a/lake/sub/warehouse/t", "file:///a/lake/warehouse") == "file:///a/lake/warehouse/t"
    assert outer.location("s3://bucket/warehouse/t", "file:///a/lake/warehouse") == "s3://bucket/warehouse/t"


def test_a_move_that_breaks_off_at_the_catalog_leaves_a_lake_that_counts_as_moved(
    lake: Path, rows: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = lake.with_name("moved")
    lake.rename(moved)

    def stop(*given: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("carlake.upkeep.recovery.recover.point", stop)
        with pytest.raises(Stopped):
            recovered(moved)
    with pytest.raises(LakeError, match="carlake recover"):
        opened(moved)
    recovered(moved)
    assert contents(moved) == rows
