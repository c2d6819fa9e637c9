"""Recover: what lies in the archive and cannot be read, or is no object, stands in nobody's way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.upkeep.damages import SETTINGS, contents, folder_gone, now, opened

from carlake.lakehouse import Lakehouse
from carlake.landing.archived import archived
from lakes import BRONZE, rows_of


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
    # A folder is no object: nothing tells any more that this one ever was.
    assert done.ok == (kind == "folder")
    assert [item.what for item in done.lost] == ([] if done.ok else [f"object {copy.name} ({copy.parent.name})"])
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
