"""Recover, and a rebuild: what lies in the archive and cannot be read, or is no object, stands in nobody's way."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.upkeep.damages import SETTINGS, contents, folder_gone, now, opened

from carlake.lakehouse import Lakehouse
from carlake.landing.archived import archived
from lakes import BRONZE, nested, rows_of


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


UNREADABLE: dict[str, Callable[[Path], None]] = {"link": _link, "pipe": lambda path: os.mkfifo(path), "folder": _folder}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_the_others_are_landed_where_one_cannot_be_read(lake: Path, kind: str) -> None:
    with opened(lake) as house:
        before = rows_of(house, BRONZE)
    copy = next(iter(sorted(lake.glob("archive/*/*/*"))))
    copy.unlink()
    UNREADABLE[kind](copy)
    folder_gone(BRONZE)(lake)
    done = Lakehouse.recover(lake, SETTINGS, clock=now)
    # A folder is no object of the archive's: that this one ever was, silver tells, and no check later on.
    assert done.ok == (kind == "folder")
    known_by = copy.parent.name if done.ok else f"{copy.name} ({copy.parent.name})"
    assert [item.what for item in done.lost] == [f"object {known_by}"]
    with opened(lake) as house:
        after = {row["source_id"] for row in rows_of(house, BRONZE)}
    assert after == {row["source_id"] for row in before} - {copy.parent.name} and after
    if done.ok:
        return
    # What was in the way is removed by a person; then all is well.
    copy.unlink()
    copy.parent.rmdir()
    assert Lakehouse.recover(lake, SETTINGS, clock=now).ok


def test_what_is_no_object_stays_where_it_is(lake: Path) -> None:
    """A person's own folder beside the archived objects, and one among them."""
    before = contents(lake)
    inside = next(lake.glob("archive/*/*/*")).parent / "sub"
    inside.mkdir()
    notes = lake / "archive" / "2025-01-01" / "notes"
    (notes / "sub").mkdir(parents=True)
    (notes / "readme.txt").write_text("hello")
    names = {landed.uri for _, places in archived(str(lake / "archive")) for landed in places}
    assert names == {str(path) for path in lake.glob("archive/*-*-*/*/*") if path.suffix == ".ndjson"}
    folder_gone(BRONZE)(lake)
    done = Lakehouse.recover(lake, SETTINGS, clock=now)
    assert done.ok and not done.lost, done
    assert contents(lake) == before and (notes / "readme.txt").read_text() == "hello" and inside.is_dir()
    with opened(lake) as house:
        assert house.verify(deep=True).ok


def _two_copies(lake: Path, *, right: bool) -> Path:
    """An object that bronze does not hold lies in the archive under two names, the first of them cut short."""
    content = nested("ZZ", "twice", "2025-10-01T00:00:00Z").encode()
    folder = lake / "archive" / "2025-10-30" / sha256(content).hexdigest()
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(content[: len(content) // 2])
    (folder / "b.json").write_bytes(content if right else b"{}")
    return folder


def test_a_rebuild_lands_the_copy_that_is_right(lake: Path) -> None:
    folder = _two_copies(lake, right=True)
    # And one that bronze holds has a damaged copy beside the right one.
    held = next(lake.glob("archive/*/*/*.ndjson"))
    (held.parent / "0.ndjson").write_bytes(b"{}")
    with opened(lake) as house:
        assert [landed.uri for landed in house.plan_from_archive().missing] == [str(folder / "b.json")]
        report = house.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded" and not report.notes
        rows = [row for row in rows_of(house, BRONZE) if row["source_id"] == folder.name]
        assert len(rows) == 1 and house.verify().ok


def test_a_rebuild_lands_no_damaged_copy_and_says_so(lake: Path) -> None:
    folder = _two_copies(lake, right=False)
    with opened(lake) as house:
        before = rows_of(house, BRONZE)
        report = house.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded" and str(folder / "a.json") in " ".join(report.notes)
        assert rows_of(house, BRONZE) == before


def test_an_object_that_was_always_empty_has_lost_nothing(lake: Path) -> None:
    with opened(lake) as house:
        (house.lake.landing / "empty.ndjson").touch()
        house.run()
        assert house.plan_from_archive().notes == ()
