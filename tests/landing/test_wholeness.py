"""A file that is still being written is left alone until it is whole, by each of the three conventions."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.landing import open_files
from carlake.landing.listing import Listing, list_landing
from carlake.landing.open_files import open_for_writing
from carlake.landing.removal import Removal
from carlake.landing.wholeness import Wholeness, remove_markers
from carlake.settings import Settings
from carlake.upkeep.erasure import archiving
from lakes import lakehouse, nested, put

asks_the_kernel = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="only Linux tells who has a file open")


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def names(objects: list[Any]) -> list[str]:
    return [Path(landed.uri).name for landed in objects]


def divided(by: Wholeness, folder: Path) -> tuple[list[str], list[str], float | None]:
    listing = list_landing(folder)
    found = by.divide(listing.objects, listing.passed_over)
    return names(found.whole), names(found.unfinished), found.again_seconds


# --- rename: the kernel knows who writes ------------------------------------------------------------------------------


@asks_the_kernel
def test_a_file_that_is_open_for_writing_waits_and_is_taken_once_it_is_closed(tmp_path: Path) -> None:
    put(tmp_path / "whole.json", "{}")
    by = Wholeness()
    with (tmp_path / "copied.json").open("w") as copied:
        copied.write('{"half": ')
        copied.flush()
        os.utime(tmp_path / "copied.json", (0, 0))  # its age tells nothing
        whole, unfinished, again = divided(by, tmp_path)
        assert (whole, unfinished) == (["whole.json"], ["copied.json"])
        assert again is not None and 0 < again <= 0.5, "nothing will tell of the closing, so it is looked at soon"
    assert divided(by, tmp_path) == (["copied.json", "whole.json"], [], None)


@asks_the_kernel
def test_a_reader_is_no_writer_and_the_lease_is_given_back(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", "{}")
    with path.open("rb"):
        assert open_for_writing(str(path)) is False
    # A lease that was kept would hold up this writer, or refuse it at once as here.
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    assert open_for_writing(str(path)) is False


@asks_the_kernel
def test_a_link_is_as_whole_as_what_it_points_to(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", "{}")
    (tmp_path / "link.json").symlink_to(path)
    with path.open("a"):
        assert divided(Wholeness(), tmp_path)[0] == []
    assert divided(Wholeness(), tmp_path)[0] == ["link.json", "a.json"]


def no_leases(patch: pytest.MonkeyPatch, error: int = errno.EACCES) -> None:
    """As for files of another user (EACCES), or on a file system without leases (EINVAL)."""
    real = fcntl.fcntl

    def refused(descriptor: int, command: int, value: Any = 0) -> Any:
        if command == fcntl.F_SETLEASE:
            raise OSError(error, os.strerror(error))
        return real(descriptor, command, value)

    patch.setattr(open_files.fcntl, "fcntl", refused)


@asks_the_kernel
@pytest.mark.parametrize("error", [errno.EACCES, errno.EINVAL])
def test_where_the_kernel_does_not_tell_a_file_made_here_settles_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    no_leases(monkeypatch, error)
    path = tmp_path / "copied.json"
    path.write_text("{}")
    os.utime(path)  # both times are one moment, as after a write
    status = path.stat()
    if status.st_mtime_ns != status.st_ctime_ns:
        pytest.skip("this file system does not keep both times alike")
    clock = Clock(status.st_mtime + 0.2)
    by = Wholeness(settle_seconds=1.0, clock=clock, steady=clock)
    whole, unfinished, again = divided(by, tmp_path)
    assert (whole, unfinished) == ([], ["copied.json"]) and again == pytest.approx(0.8, abs=0.01)
    clock.now += 0.9
    assert divided(by, tmp_path) == (["copied.json"], [], None)


@asks_the_kernel
def test_where_the_kernel_does_not_tell_a_renamed_file_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_leases(monkeypatch)
    put(tmp_path / "aside", "{}").rename(tmp_path / "renamed.json")  # written at another moment than it was renamed
    assert divided(Wholeness(settle_seconds=3600), tmp_path) == (["renamed.json"], [], None)


# --- settled ----------------------------------------------------------------------------------------------------------


def settled(path: Path, seconds: float = 2.0) -> tuple[Wholeness, Clock, Clock]:
    wall, steady = Clock(path.stat().st_ctime), Clock(1000.0)
    return Wholeness("settled", seconds, clock=wall, steady=steady), wall, steady


def test_settled_waits_until_size_and_times_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{")
    by, wall, steady = settled(path)
    assert divided(by, tmp_path) == ([], ["a.json"], pytest.approx(2.0, abs=1e-5))  # a time is a double
    wall.now, steady.now = wall.now + 1.5, steady.now + 1.5
    assert divided(by, tmp_path)[:2] == ([], ["a.json"])
    with path.open("a") as more:
        more.write("}")
    wall.now, steady.now = path.stat().st_ctime, steady.now + 1.0
    assert divided(by, tmp_path)[:2] == ([], ["a.json"]), "it grew, so the time begins anew"
    wall.now, steady.now = wall.now + 2.0, steady.now + 2.0
    assert divided(by, tmp_path) == (["a.json"], [], None)


def test_settled_takes_an_old_file_at_first_sight(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    by, wall, _ = settled(path)
    wall.now += 2.0
    assert divided(by, tmp_path) == (["a.json"], [], None)


def test_settled_goes_by_what_it_sees_when_the_clock_is_set_back_a_little(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    by, wall, steady = settled(path)
    wall.now -= 30
    assert divided(by, tmp_path) == ([], ["a.json"], 2.0)
    steady.now += 2.0
    assert divided(by, tmp_path) == (["a.json"], [], None)


def test_a_time_that_lies_far_ahead_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    by, wall, _ = settled(path)
    wall.now -= 86_400 * 365
    assert divided(by, tmp_path) == (["a.json"], [], None)


def test_settled_does_not_ask_whether_a_file_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("w") as kept_open:
        kept_open.write("{}")
        kept_open.flush()
        by, wall, _ = settled(path)
        wall.now += 60
        assert divided(by, tmp_path)[0] == ["a.json"]


# --- marker -----------------------------------------------------------------------------------------------------------


def test_a_marker_says_that_its_object_is_whole_and_is_no_object_itself(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.ready", "b.json", "c.json.ready"):
        put(tmp_path / name, "{}")
    assert divided(Wholeness("marker"), tmp_path) == (["a.json"], ["b.json"], None)


def test_a_folders_marker_is_for_what_the_folder_itself_holds(tmp_path: Path) -> None:
    for name in ("day/a.json", "day/_SUCCESS", "day/deeper/b.json", "c.json"):
        put(tmp_path / name, "{}")
    assert divided(Wholeness("marker"), tmp_path) == (["a.json"], ["c.json", "b.json"], None)


def test_without_the_convention_such_a_name_is_data(tmp_path: Path) -> None:
    put(tmp_path / "a.json.ready", "{}")
    assert divided(Wholeness("rename"), tmp_path)[0] == ["a.json.ready"]


def test_markers_go_with_their_objects(tmp_path: Path) -> None:
    put(tmp_path / "a.json.ready", "")
    remove_markers([str(tmp_path / "a.json"), str(tmp_path / "never.json")])
    assert list(tmp_path.iterdir()) == []


def test_a_marker_stays_where_something_bears_its_objects_name(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.ready"):
        put(tmp_path / name, "")
    remove_markers([str(tmp_path / "a.json")])
    assert divided(Wholeness("marker"), tmp_path) == (["a.json"], [], None)


def test_a_marker_stays_that_is_set_anew_while_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.json.ready", "")
    remove = Removal.remove

    def newer_before(*given: Any) -> None:
        put(tmp_path / "a.json", "{}")
        (tmp_path / "a.json.ready").touch()
        remove(*given)

    monkeypatch.setattr(Removal, "remove", newer_before)
    remove_markers([str(tmp_path / "a.json")])
    assert divided(Wholeness("marker"), tmp_path) == (["a.json"], [], None)


def test_a_stores_object_is_whole_unless_a_marker_is_asked_for() -> None:
    from carlake.landing.landed import LandedObject
    from lakes import NOON

    listing = Listing([LandedObject("s3://bucket/landing/a.json", 2, NOON, "etag")])
    assert names(Wholeness("rename").divide(listing.objects).whole) == ["a.json"]
    assert names(Wholeness("settled", 3600).divide(listing.objects).whole) == ["a.json"]
    assert names(Wholeness("marker").divide(listing.objects).unfinished) == ["a.json"]


# --- a run ------------------------------------------------------------------------------------------------------------


def landing(house: Lakehouse) -> list[str]:
    return sorted(path.name for path in house.lake.landing.rglob("*") if path.is_file())


@asks_the_kernel
def test_a_run_passes_over_a_file_that_is_being_written_and_the_next_takes_it(small_folder: Path) -> None:
    record = nested("A", "e1", "2025-10-01T00:00:00Z")
    with lakehouse(small_folder / "lake") as house:
        with (house.lake.landing / "slow.json").open("w") as slow:
            slow.write(record[:40])
            slow.flush()
            report = house.run()
            assert (report.status, report.files, report.quarantined) == ("succeeded", 0, 0)
            assert [Path(uri).name for uri in report.passed_over] == ["slow.json"]
            slow.write(record[40:])
        report = house.run()
        assert (report.files, report.accepted, report.quarantined, landing(house)) == (1, 1, 0, [])


def test_a_run_by_markers_archives_objects_and_removes_their_markers(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, whole_when="marker")) as house:
        for name in ("a.json", "b.json"):
            put(house.lake.landing / name, nested(name[0], "e1", "2025-10-01T00:00:00Z"))
        put(house.lake.landing / "a.json.ready", "")
        report = house.run()
        assert (report.files, report.accepted) == (1, 1)
        assert landing(house) == ["b.json"]


def test_a_marker_of_what_took_the_name_since_stays(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lakehouse(small_folder / "lake", Settings(threads=1, whole_when="marker")) as house:

        def delivered(event: str) -> None:
            put(house.lake.landing / "a.json", nested("A", event, "2025-10-01T00:00:00Z"))
            put(house.lake.landing / "a.json.ready", "")

        archive = archiving.archive

        def newer_after(*given: Any) -> Any:
            done = archive(*given)
            delivered("e2")
            return done

        delivered("e1")
        with monkeypatch.context() as patch:
            patch.setattr(archiving, "archive", newer_after)
            assert house.run().accepted == 1
        assert house.run().accepted == 1 and landing(house) == []
