"""Archiving: an object leaves landing once, whole, only if it is what was read, and never over another."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from tests.landing.ordinary_user import open_to_all, ordinary_user
from tests.landing.test_landing_objects import NAMES

from carlake.landing import archive as archiving
from carlake.landing import removal
from carlake.landing.archive import Archived, Mode, archive, archive_many
from carlake.landing.archived import archived, archived_as
from carlake.landing.listing import MOVING, list_landing, list_paths
from carlake.landing.objects import LandedObject, hash_object, path_of

DAY = date(2026, 1, 2)
TIME_NS = 1_700_000_000_123_456_789


class Place:
    """A landing folder and an archive."""

    def __init__(self, root: Path) -> None:
        self.landing, self.archive = root / "landing", root / "archive"
        self.landing.mkdir()
        self.archive.mkdir()

    def land(self, name: str, content: str = "{}") -> tuple[LandedObject, str]:
        """An object in landing, as a run has read it."""
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(TIME_NS, TIME_NS))
        [landed] = [one for one in list_landing(self.landing).objects if path_of(one.uri) == str(path)]
        return landed, hash_object(landed)

    def target(self, name: str, source_id: str) -> Path:
        return self.archive / "2026-01-02" / source_id / name

    def put(self, name: str, source_id: str, content: str) -> Path:
        target = self.target(name, source_id)
        target.parent.mkdir(parents=True)
        target.write_text(content)
        return target

    def landing_files(self) -> dict[str, str]:
        return _files(self.landing)

    def archive_files(self) -> dict[str, str]:
        return _files(self.archive)


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file() or path.is_symlink()
    }


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Place]:
    """An archive on another file system than landing, so that objects are copied."""
    place = Place(tmp_path)
    place.archive = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        assert place.archive.stat().st_dev != place.landing.stat().st_dev
        yield place
    finally:
        shutil.rmtree(place.archive)


@pytest.fixture(params=["near", "far"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    fixture: Place = request.getfixturevalue("far" if request.param == "far" else "place")
    return fixture


def test_an_object_moves_to_its_day_and_content(either: Place) -> None:
    landed, source_id = either.land("sub/a.json", "content")
    target = either.target("a.json", source_id)
    assert archive(landed, source_id, either.archive, DAY) == Archived("moved", landed.uri, str(target))
    assert either.archive_files() == {f"2026-01-02/{source_id}/a.json": "content"}
    assert target.stat().st_mtime_ns == TIME_NS
    # The sender's folders stay, and nothing of ours.
    assert [path.name for path in either.landing.rglob("*")] == ["sub"]


@pytest.mark.parametrize(
    "name", [*NAMES, os.fsdecode(b"latin-\xe9.json"), os.fsdecode(b"\xff" * 255), ".hid.json", "_x"]
)
def test_any_name_is_kept(either: Place, name: str) -> None:
    path = either.landing / name
    path.write_text("x")
    [landed] = list_paths([path]).objects
    assert archive(landed, sha("x"), either.archive, DAY).outcome == "moved"
    assert either.target(name, sha("x")).read_text() == "x"
    assert not path.exists()


def test_left_where_it_is(place: Place) -> None:
    landed, source_id = place.land("a.json")
    assert archive(landed, source_id, place.archive, DAY, mode="leave") == Archived("left", landed.uri)
    assert place.landing_files() == {"a.json": "{}"} and place.archive_files() == {}


def test_deleted(place: Place) -> None:
    landed, source_id = place.land("a.json")
    assert archive(landed, source_id, place.archive, DAY, mode="delete") == Archived("deleted", landed.uri)
    assert place.landing_files() == {} == place.archive_files()
    assert archive(landed, source_id, place.archive, DAY, mode="delete").outcome == "gone"


def test_archiving_twice_is_harmless(either: Place) -> None:
    landed, source_id = either.land("a.json")
    assert archive(landed, source_id, either.archive, DAY).outcome == "moved"
    again = archive(landed, source_id, either.archive, DAY)
    assert again.outcome == "gone" and again.ok
    assert either.archive_files() == {f"2026-01-02/{source_id}/a.json": "{}"}


def test_the_same_content_landed_again_leaves_one_copy(either: Place) -> None:
    for _ in range(2):
        landed, source_id = either.land("a.json")
        assert archive(landed, source_id, either.archive, DAY).outcome == "moved"
    first, second = either.land("x/a.json"), either.land("y/a.json")
    assert [done.outcome for done in archive_many([first, second], either.archive, DAY)] == ["moved", "moved"]
    assert either.archive_files() == {f"2026-01-02/{source_id}/a.json": "{}"}
    assert either.landing_files() == {}


@pytest.mark.parametrize("name", ["a.json", "b" * 255, "ä" * 125 + ".json", "c." + "d" * 200])
def test_an_archived_object_is_never_overwritten(either: Place, name: str) -> None:
    landed, source_id = either.land(name, "mine")
    other = either.put(name, source_id, "other")
    done = archive(landed, source_id, either.archive, DAY)
    assert done.outcome == "moved" and Path(done.to) != other
    assert other.read_text() == "other"
    assert Path(done.to).read_text() == "mine"
    assert Path(done.to).suffix == (".json" if name.endswith(".json") else ".2")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_what_is_no_file_in_the_archive_is_left_alone(place: Place, kind: str) -> None:
    landed, source_id = place.land("a.json")
    target = place.target("a.json", source_id)
    target.parent.mkdir(parents=True)
    if kind == "folder":
        target.mkdir()
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to(place.landing / "a.json")
    done = archive(landed, source_id, place.archive, DAY)
    assert done.to == str(target.with_name("a.2.json")) and Path(done.to).read_text() == "{}"
    assert os.path.lexists(target)


@pytest.mark.parametrize("mode", ["move", "delete"])
@pytest.mark.parametrize("change", ["replaced", "grown", "rewritten"])
def test_an_object_that_is_no_longer_what_was_read_stays(either: Place, change: str, mode: archiving.Mode) -> None:
    landed, source_id = either.land("a.json", "as read")
    path = either.landing / "a.json"
    if change == "replaced":
        (either.landing / "new").write_text("newer")
        (either.landing / "new").replace(path)
    elif change == "grown":
        with path.open("a") as stream:
            stream.write(" newer")
    else:
        path.write_text("newer..")
    content = path.read_text()
    done = archive(landed, source_id, either.archive, DAY, mode=mode)
    assert done.outcome == "changed" and not done.ok and done.why and done.advice
    assert either.landing_files() == {"a.json": content}
    assert either.archive_files() == {}


@pytest.mark.parametrize("mode", ["move", "delete"])
def test_a_change_that_keeps_size_and_time_is_found_by_content(either: Place, mode: archiving.Mode) -> None:
    landed, source_id = either.land("a.json", "1234")
    with (either.landing / "a.json").open("r+") as stream:
        stream.write("5678")
    os.utime(either.landing / "a.json", ns=(TIME_NS, TIME_NS))
    assert archive(landed, source_id, either.archive, DAY, mode=mode).outcome == "changed"
    assert either.landing_files() == {"a.json": "5678"}
    assert either.archive_files() == {}


def _between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something after the objects have their place in the archive and before they leave landing."""
    original = archiving.fsync_dirs

    def then(folders: set[str]) -> None:
        original(folders)
        act()

    monkeypatch.setattr(archiving, "fsync_dirs", then)


def test_an_upload_between_the_steps_is_kept(either: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    landed, source_id = either.land("a.json", "as read")

    def upload() -> None:
        (either.landing / "new").write_text("newer")
        (either.landing / "new").replace(either.landing / "a.json")

    _between(monkeypatch, upload)
    assert archive(landed, source_id, either.archive, DAY).outcome == "changed"
    assert either.landing_files() == {"a.json": "newer"}
    assert either.archive_files() == {f"2026-01-02/{source_id}/a.json": "as read"}


def test_a_writer_that_goes_on_between_the_steps_keeps_its_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    landed, source_id = place.land("a.json", "as read")

    def go_on() -> None:
        with (place.landing / "a.json").open("a") as stream:
            stream.write(" and more")

    _between(monkeypatch, go_on)
    assert archive(landed, source_id, place.archive, DAY).outcome == "changed"
    assert place.landing_files() == {"a.json": "as read and more"}
    # The archive's name was for other content.
    assert place.archive_files() == {}


def _in_the_last_moment(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something after the last look at the landing name and before it is renamed away."""
    rename = os.rename

    def act_and_rename(source: str, target: str) -> None:
        if MOVING in target:
            act()
        rename(source, target)

    monkeypatch.setattr(removal.os, "rename", act_and_rename)


def test_an_upload_in_the_last_moment_is_put_back(either: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    landed, source_id = either.land("a.json", "as read")

    def upload() -> None:
        (either.landing / "new").write_text("newer")
        (either.landing / "new").replace(either.landing / "a.json")

    _in_the_last_moment(monkeypatch, upload)
    assert archive(landed, source_id, either.archive, DAY).outcome == "changed"
    assert either.landing_files() == {"a.json": "newer"}


def test_a_writer_in_the_last_moment_gets_its_file_back(either: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    landed, source_id = either.land("a.json", "as read")

    def go_on() -> None:
        with (either.landing / "a.json").open("a") as stream:
            stream.write(" and more")

    _in_the_last_moment(monkeypatch, go_on)
    assert archive(landed, source_id, either.archive, DAY).outcome == "changed"
    assert either.landing_files() == {"a.json": "as read and more"}
    assert set(either.archive_files().values()) <= {"as read"}


def test_a_link_whose_target_changes_between_the_steps_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.land("z.json", "as read")
    (place.landing / "link.json").symlink_to("z.json")
    link = list_landing(place.landing).objects[0]
    _between(monkeypatch, lambda: (place.landing / "z.json").write_text("newer") and None)
    assert archive(link, sha("as read"), place.archive, DAY).outcome == "changed"
    assert place.landing_files() == {"link.json": "newer", "z.json": "newer"}


def test_what_is_put_back_overwrites_nothing(place: Place) -> None:
    place.land("a.json", "newest")
    taken = place.landing / "taken"
    taken.write_text("newer")
    removal._put_back(str(taken), str(place.landing / "a.json"))
    assert place.landing_files() == {"a.json": "newest", "a.2.json": "newer"}


def test_an_archive_copy_that_somebody_takes_away_keeps_the_object_in_landing(
    either: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed, source_id = either.land("a.json")
    _between(monkeypatch, lambda: either.target("a.json", source_id).unlink())
    assert archive(landed, source_id, either.archive, DAY).outcome == "changed"
    assert either.landing_files() == {"a.json": "{}"}


def test_a_file_with_another_name_elsewhere_is_copied(place: Place) -> None:
    """Its sender may write to it under that name, long after it was archived."""
    landed, source_id = place.land("a.json", "as it was sent")
    elsewhere = place.landing.parent / "spool.json"
    os.link(place.landing / "a.json", elsewhere)
    assert archive(landed, source_id, place.archive, DAY).outcome == "moved"
    elsewhere.write_text("the next one")
    assert place.landing_files() == {}
    assert place.archive_files() == {f"2026-01-02/{source_id}/a.json": "as it was sent"}


# --- crashes: each state that a crash between two steps leaves, then the same work again -----------------------------


def test_after_a_crash_with_the_folders_made(either: Place) -> None:
    landed, source_id = either.land("a.json")
    either.target("a.json", source_id).parent.mkdir(parents=True)
    assert archive(landed, source_id, either.archive, DAY).outcome == "moved"
    assert either.archive_files() == {f"2026-01-02/{source_id}/a.json": "{}"}


def test_after_a_crash_with_the_object_in_both_places(place: Place) -> None:
    landed, source_id = place.land("a.json")
    target = place.target("a.json", source_id)
    target.parent.mkdir(parents=True)
    os.link(place.landing / "a.json", target)
    assert archive(landed, source_id, place.archive, DAY).outcome == "moved"
    assert place.landing_files() == {} and place.archive_files() == {f"2026-01-02/{source_id}/a.json": "{}"}


def test_after_a_crash_in_the_middle_of_a_copy(far: Place) -> None:
    landed, source_id = far.land("a.json", "whole")
    half = far.put(".0123456789abcdef.part", source_id, "who")
    os.utime(half, (1, 1))
    beside = half.with_name(".fedcba9876543210.part")
    beside.write_text("another process is at it")
    assert archive(landed, source_id, far.archive, DAY).outcome == "moved"
    assert far.target("a.json", source_id).read_text() == "whole"
    assert not half.exists() and beside.exists()


def test_after_a_crash_on_the_way_out_of_landing(place: Place) -> None:
    """The object was renamed away and neither deleted nor put back: it is listed, and archived from there."""
    place.land("sub/a.json", "newer, never read")
    way_out = place.landing / "sub" / f"{MOVING}0123"
    way_out.mkdir()
    (place.landing / "sub" / "a.json").rename(way_out / "a.json")
    os.utime(way_out, (1, 1))
    [landed] = list_landing(place.landing).objects
    assert archive(landed, hash_object(landed), place.archive, DAY).outcome == "moved"
    assert [path.name for path in place.landing.rglob("*")] == ["sub"]
    assert list(place.archive_files().values()) == ["newer, never read"]


def test_an_empty_folder_on_the_way_out_that_a_crash_left_goes_in_time(place: Place) -> None:
    landed, source_id = place.land("a.json")
    old, young = place.landing / f"{MOVING}0123", place.landing / f"{MOVING}4567"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (1, 1))
    assert archive(landed, source_id, place.archive, DAY).outcome == "moved"
    assert [path.name for path in place.landing.iterdir()] == [young.name]


# --- links, rights, several at once -----------------------------------------------------------------------------------


def test_a_link_and_its_target_are_both_archived(either: Place) -> None:
    target, source_id = either.land("z.json", "content")
    (either.landing / "link.json").symlink_to("z.json")
    (either.landing / "again.json").symlink_to("z.json")
    objects = list_landing(either.landing).objects
    done = archive_many([(landed, source_id) for landed in reversed(objects)], either.archive, DAY)
    assert {one.outcome for one in done} == {"moved"}
    assert either.landing_files() == {}
    folder = f"2026-01-02/{source_id}"
    assert either.archive_files() == {f"{folder}/{name}": "content" for name in ("again.json", "link.json", "z.json")}
    assert not any(path.is_symlink() for path in either.archive.rglob("*"))
    assert target.uri == done[0].uri


def test_a_link_whose_target_changed_stays(place: Place) -> None:
    place.land("z.json", "1234")
    (place.landing / "link.json").symlink_to("z.json")
    link = list_landing(place.landing).objects[0]
    with (place.landing / "z.json").open("r+") as stream:
        stream.write("5678")
    os.utime(place.landing / "z.json", ns=(TIME_NS, TIME_NS))
    assert archive(link, sha("1234"), place.archive, DAY).outcome == "changed"
    assert place.landing_files() == {"link.json": "5678", "z.json": "5678"} and place.archive_files() == {}


def test_a_link_finds_its_place_taken(place: Place) -> None:
    landed, source_id = place.land("sub/z.json", "content")
    (place.landing / "z.json").symlink_to("sub/z.json")
    [link, _] = list_landing(place.landing).objects
    assert [done.outcome for done in archive_many([(landed, source_id), (link, source_id)], place.archive, DAY)] == [
        "moved"
    ] * 2
    assert place.landing_files() == {} and place.archive_files() == {f"2026-01-02/{source_id}/z.json": "content"}


def test_a_file_of_another_user_is_archived_by_copy(tmp_path: Path) -> None:
    """Linux forbids hard links to files that one may not write (protected_hardlinks)."""
    place = Place(tmp_path)
    landed, source_id = place.land("a.json", "of root")
    place.landing.chmod(0o777)
    place.archive.chmod(0o777)
    open_to_all(place.landing)
    with ordinary_user():
        assert archive(landed, source_id, place.archive, DAY).outcome == "moved"
    assert place.landing_files() == {} and place.archive_files() == {f"2026-01-02/{source_id}/a.json": "of root"}
    assert place.target("a.json", source_id).stat().st_mtime_ns == TIME_NS


@pytest.mark.parametrize("closed", ["landing", "archive"])
def test_without_the_right_to_write_the_object_stays_and_is_named(tmp_path: Path, closed: str) -> None:
    place = Place(tmp_path)
    landed, source_id = place.land("a.json")
    place.landing.chmod(0o555 if closed == "landing" else 0o777)
    place.archive.chmod(0o555 if closed == "archive" else 0o777)
    open_to_all(place.landing)
    with ordinary_user():
        [done] = archive_many([(landed, source_id)], place.archive, DAY)
    assert done.outcome == "failed" and not done.ok and "permission denied" in done.why and done.advice
    assert place.landing_files() == {"a.json": "{}"}
    assert len(place.archive_files()) == (1 if closed == "landing" else 0)


def test_one_that_cannot_go_does_not_hold_up_the_others(place: Place) -> None:
    objects = [place.land(f"{n}.json", str(n)) for n in range(40)]
    (place.landing / "3.json").write_text("changed")
    (place.landing / "4.json").unlink()
    (place.archive / "2026-01-02").mkdir()
    (place.archive / "2026-01-02" / objects[5][1]).write_text("a file where a folder belongs")
    done = archive_many(objects, place.archive, DAY)
    assert [one.uri for one in done] == [landed.uri for landed, _ in objects]
    others = {n: one.outcome for n, one in enumerate(done) if one.outcome != "moved"}
    assert others == {3: "changed", 4: "gone", 5: "failed"}
    assert place.landing_files() == {"3.json": "changed", "5.json": "5"}
    assert len(place.archive_files()) == 37 + 1


_ARCHIVER = """
import sys, time, pathlib, datetime
from carlake.landing.archive import archive_many
from carlake.landing.listing import list_landing
from carlake.landing.objects import hash_object
root = pathlib.Path(sys.argv[1])
work = [(landed, hash_object(landed)) for landed in list_landing(root / "landing").objects]
print("ready", flush=True)
sys.stdin.readline()
done = [one.outcome for one in archive_many(work, sys.argv[2], datetime.date(2026, 1, 2))]
print(" ".join(sorted(set(done))), flush=True)
"""


def test_several_processes_archive_the_same_files(either: Place) -> None:
    content = {f"{n}.json": f"content {n}" for n in range(300)}
    for name, text in content.items():
        (either.landing / name).write_text(text)
    command = [sys.executable, "-c", _ARCHIVER, str(either.landing.parent), str(either.archive)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and err == ""
        assert set(out.split()) <= {"moved", "gone"}
    assert either.landing_files() == {} and list(either.landing.iterdir()) == []
    assert either.archive_files() == {f"2026-01-02/{sha(text)}/{name}": text for name, text in content.items()}


def test_a_copy_that_was_broken_off_is_no_object_of_the_archive(either: Place) -> None:
    """Its name sorts before the object's own."""
    whole, broken = "1" * 64, "2" * 64
    target = either.put("a.json", whole, "{}")
    target.with_name(".x1y2.part").write_text("{")
    either.put(".x3y4.part", broken, "{")
    found = archived_as(str(either.archive), whole, DAY)
    assert found is not None and found.uri == str(target)
    assert archived_as(str(either.archive), broken, DAY) is None
    assert [(name, [one.uri for one in objects]) for name, objects in archived(str(either.archive))] == [
        (whole, [str(target)])
    ]


@pytest.mark.parametrize("mode", ["move", "delete"])
def test_a_writer_that_has_the_file_open_and_writes_later_keeps_it(place: Place, mode: Mode) -> None:
    """It was closed when it was listed. Were it taken away, all that comes would go into a file that nobody can find."""
    landed, source_id = place.land("a.json", "as read")
    with (place.landing / "a.json").open("a") as writer:
        writer.write(" and more")  # still in the writer's own buffer
        assert archive(landed, source_id, place.archive, DAY, mode=mode).outcome == "changed"
        assert place.archive_files() == {}
    assert place.landing_files() == {"a.json": "as read and more"}


def test_where_settled_is_whole_an_open_file_is_taken(place: Place) -> None:
    landed, source_id = place.land("a.json", "as read")
    with (place.landing / "a.json").open("a"):
        [done] = archive_many([(landed, source_id)], place.archive, DAY, asks=False)
    assert done.outcome == "moved" and place.landing_files() == {}
