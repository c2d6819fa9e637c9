"""What cannot be taken in now is named, stops no neighbour, makes the run partial, and is taken at the next run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carlake.engines import landed_objects
from carlake.lakehouse import Lakehouse
from lakes import BRONZE, MODIFIED, SILVER, heads, lakehouse, nested, put, rows_of
from landing.ordinary_user import ordinary_user


def event(name: str) -> str:
    return nested("A", name, "2025-10-01T00:00:00Z")


@pytest.fixture
def lake(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake") as house:
        yield house


def events(house: Lakehouse) -> list[str]:
    return [row["event_id"] for row in rows_of(house, SILVER)]


def after_first(act: Callable[[], object]) -> Callable[[str, int], None]:
    """A progress callback that acts once the first object has been taken in."""
    left = [act]

    def progress(table: str, size: int) -> None:
        if table == BRONZE and left:
            left.pop()()

    return progress


def test_pipes_and_links_that_lead_out(lake: Lakehouse, small_folder: Path) -> None:
    inbox = small_folder / "in"
    put(inbox / "a.json", event("a"))
    os.mkfifo(inbox / "pipe.json")
    put(small_folder / "outside.json", event("outside"))
    (inbox / "leaves.json").symlink_to(small_folder / "outside.json")
    (inbox / "nowhere.json").symlink_to("not there")
    first = lake.run([str(inbox)])
    assert first.status == "partial" and events(lake) == ["a"]
    assert {Path(problem.uri).name: problem.why for problem in first.problems} == {
        "leaves.json": "is a link that leaves the folder",
        "nowhere.json": "is a link to a file that does not exist",
        "pipe.json": "is a pipe (FIFO)",
    }
    assert all(problem.advice for problem in first.problems)
    before = heads(lake)
    assert lake.run([str(inbox)]).status == "partial", "again, as long as they are there"
    assert {**heads(lake), "ops_runs": 0} == {**before, "ops_runs": 0}

    for name in ("leaves.json", "nowhere.json", "pipe.json"):
        (inbox / name).unlink()
        put(inbox / name, event(name))
    again = lake.run([str(inbox)])
    assert (again.status, again.problems) == ("succeeded", ())
    assert events(lake) == ["a", "leaves.json", "nowhere.json", "pipe.json"] and lake.verify().ok


def test_a_file_without_permission(lake: Lakehouse, small_folder: Path) -> None:
    # The first run loads modules and contracts, which another user may not be able to read where they lie.
    lake.run([str(put(small_folder / "in" / "first.json", event("first")))])
    assert lake.verify().ok and lake.runs().num_rows
    closed = put(small_folder / "in" / "closed.json", event("closed"))
    put(small_folder / "in" / "open.json", event("open"))
    for path in [small_folder, *small_folder.rglob("*")]:
        path.chmod(0o777)
    closed.chmod(0)
    with ordinary_user():
        report = lake.run([str(small_folder / "in")])
        assert report.status == "partial" and events(lake) == ["first", "open"]
        [problem] = report.problems
        assert Path(problem.uri).name == "closed.json" and "permission denied" in problem.why and problem.advice
    closed.chmod(0o644)
    assert lake.run([str(small_folder / "in")]).status == "succeeded"
    assert events(lake) == ["closed", "first", "open"] and lake.verify().ok


@pytest.mark.parametrize("size", ["small", "long"])
def test_an_object_that_vanishes_while_others_are_read(
    lake: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    if size == "long":
        monkeypatch.setattr(
            landed_objects, "_SMALL_BYTES", 0
        )  # now each is read twice: for its hash, then for its records
    for name in "abc":
        put(small_folder / "in" / name, event(name))
    report = lake.run([str(small_folder / "in")], progress=after_first((small_folder / "in" / "b").unlink))
    if size == "small":
        assert report.status == "succeeded" and events(lake) == ["a", "b", "c"]
    else:
        assert report.status == "partial" and events(lake) == ["a", "c"]
        assert [(Path(each.uri).name, each.why) for each in report.problems] == [("b", "has vanished")]
        put(small_folder / "in" / "b", event("b"))
        assert lake.run([str(small_folder / "in")]).status == "succeeded" and events(lake) == ["a", "b", "c"]
    assert lake.verify().ok


def test_an_object_that_grows_while_others_are_read(
    lake: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landed_objects, "_SMALL_BYTES", 0)
    for name in "abc":
        put(small_folder / "in" / name, event(name))

    def grow() -> None:
        with (small_folder / "in" / "b").open("a") as file:
            file.write("\n" + event("b2"))

    report = lake.run([str(small_folder / "in")], progress=after_first(grow))
    assert report.status == "partial" and events(lake) == ["a", "c"]
    assert [Path(each.uri).name for each in report.problems] == ["b"] and "changed" in report.problems[0].why
    assert lake.runs(report.run_id).to_pylist()[0]["error"].count("/b ") == 1
    assert lake.run([str(small_folder / "in")]).status == "succeeded"
    assert events(lake) == ["a", "b", "b2", "c"] and lake.verify().ok


def test_a_copy_of_what_could_not_be_read_stays_in_landing(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal contents are read once, so that a copy must not be archived for what its twin did not bring."""
    monkeypatch.setattr(landed_objects, "_SMALL_BYTES", 0)
    put(lake.lake.landing / "a", event("a"))
    older = put(lake.lake.landing / "b", event("b"), modified=MODIFIED.replace(year=2024))
    twin = put(lake.lake.landing / "c", event("b"))
    report = lake.run(progress=after_first(lambda: older.write_text(event("b, later"))))
    assert report.status == "partial" and events(lake) == ["a"]
    assert (report.files, report.files_known) == (1, 0)
    assert [(Path(each.uri).name, each.committed) for each in report.problems] == [("b", False), ("c", False)]
    assert older.exists() and twin.exists()
    assert lake.run().status == "succeeded"
    assert events(lake) == ["a", "b", "b, later"] and not older.exists() and not twin.exists()
    assert lake.verify().ok


def test_an_object_that_changes_after_it_was_read_stays_in_landing(lake: Lakehouse) -> None:
    path = put(lake.lake.landing / "a", event("a"))

    def rewritten(table: str, size: int) -> None:
        if table == SILVER:
            put(path, event("z"))  # of the same size, at the same time

    report = lake.run(progress=rewritten)
    assert report.status == "partial" and "no longer what was read" in report.problems[0].why
    assert events(lake) == ["a"] and path.exists()
    assert lake.run().status == "succeeded" and not path.exists()
    assert events(lake) == ["a", "z"] and lake.verify().ok


def test_names_still_being_written_are_passed_over(lake: Lakehouse) -> None:
    for name in ("a.json", ".b.json", "_c.json", "d.json.tmp", "e.part"):
        put(lake.lake.landing / name, event(name))
    report = lake.run()
    assert report.status == "succeeded" and events(lake) == ["a.json"]
    assert [Path(each).name for each in report.passed_over] == [".b.json", "_c.json", "d.json.tmp", "e.part"]
    (lake.lake.landing / "d.json.tmp").rename(lake.lake.landing / "d.json")
    lake.run()
    assert events(lake) == ["a.json", "d.json.tmp"]


def test_odd_file_names_are_landed_and_archived(lake: Lakehouse) -> None:
    names = [
        "with space.json",
        'quote\'s "and" %2F.json',
        "new\nline.json",
        "*[a]?.json",
        "ümläut-車.json",
        "x" * 250 + ".json",
        "back\\slash;$(id).json",
    ]
    for name in names:
        put(lake.lake.landing / "sub folder" / name, event(name))
    put(lake.lake.landing / os.fsdecode(b"not utf-8 \xff.json"), event("bytes"))
    report = lake.run()
    assert (report.status, report.records, report.problems) == ("succeeded", len(names) + 1, ())
    assert events(lake) == sorted([*names, "bytes"])
    assert {Path(row["source_uri"]).name for row in rows_of(lake, BRONZE)} >= set(names)
    archived = [path.name for path in lake.lake.archive.glob("*/*/*")]
    assert sorted(archived) == sorted([*names, os.fsdecode(b"not utf-8 \xff.json")])
    assert not [path for path in lake.lake.landing.rglob("*") if path.is_file()]
    assert lake.verify().ok
