"""Listing: what is taken, what is passed over, what is reported, and that one never hides another."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.landing.ordinary_user import open_to_all, ordinary_user

from carlake.errors import NotFoundError
from carlake.landing.listing import MOVING, Listing, list_landing, list_paths


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(listing: Listing, root: Path) -> list[str]:
    return [os.path.relpath(landed.uri, root) for landed in listing.objects]


def causes(listing: Listing, root: Path) -> dict[str, str]:
    return {os.path.relpath(one.uri, root): one.why for one in listing.unreadable}


def test_landing_is_listed_with_all_its_folders(tmp_path: Path) -> None:
    tree(tmp_path, "b.json", "a.json", "x/y/c.json", "x/d.csv")
    (tmp_path / "empty").mkdir()
    listing = list_landing(tmp_path)
    assert found(listing, tmp_path) == ["a.json", "b.json", "x/d.csv", "x/y/c.json"]
    assert listing.unreadable == [] and listing.passed_over == []


def test_what_is_hidden_or_being_written_is_passed_over_and_counted(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "a.json",
        ".a.json.swp",
        "_SUCCESS",
        ".DS_Store",
        "b.json.tmp",
        "c.part",
        "D.TMP",
        "x/_tmp/1",
        "x/_tmp/2",
    )
    listing = list_landing(tmp_path)
    assert found(listing, tmp_path) == ["a.json"]
    passed_over = [
        f"{tmp_path}/{name}" for name in (".DS_Store", ".a.json.swp", "D.TMP", "_SUCCESS", "b.json.tmp", "c.part")
    ]
    assert listing.passed_over == [*passed_over, f"{tmp_path}/x/_tmp/"]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path: Path) -> None:
    tree(tmp_path, "_a.json", "_raw/b.json", "c.json")
    named = list_paths([tmp_path / "_a.json", tmp_path / "_raw"])
    assert found(named, tmp_path) == ["_a.json", "_raw/b.json"]
    both = list_paths([tmp_path, tmp_path / "_a.json"])
    assert found(both, tmp_path) == ["_a.json", "c.json"]
    assert both.passed_over == [f"{tmp_path}/_raw/"]


def test_an_object_that_is_named_twice_is_listed_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.json", "b.json")
    listing = list_paths([tmp_path, tmp_path / "a.json", f"{tmp_path}/*.json", f"file://{tmp_path}/b.json"])
    assert found(listing, tmp_path) == ["a.json", "b.json"]


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "in/a.json", "[b]/c.json")
    monkeypatch.chdir(tmp_path / "in")
    assert found(list_paths(["a.json"]), tmp_path) == ["in/a.json"]
    assert found(list_paths(["../in"]), tmp_path) == ["in/a.json"]
    assert found(list_paths(["."]), tmp_path) == ["in/a.json"]
    monkeypatch.chdir(tmp_path / "[b]")
    assert found(list_paths(["*.json"]), tmp_path) == ["[b]/c.json"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.json", ["a.json"]),
        ("?.json", ["a.json"]),
        ("**/*.json", ["a.json", "x/b.json", "x/y/c.json"]),
        ("**", ["a.json", "x/b.json", "x/y/c.json", "x/y/d.csv", "z1/e.json"]),
        ("x/**/c.json", ["x/y/c.json"]),
        ("x/**/b.json", ["x/b.json"]),
        ("x/*", ["x/b.json", "x/y/c.json", "x/y/d.csv"]),
        ("z[0-9]", ["z1/e.json"]),
        ("*/y/*.csv", ["x/y/d.csv"]),
        ("_raw/*", ["_raw/f.json"]),
        ("_*/*.json", ["_raw/f.json"]),
        ("*.tmp", ["g.tmp"]),
    ],
)
def test_globs(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    tree(tmp_path, "a.json", "x/b.json", "x/y/c.json", "x/y/d.csv", "z1/e.json", "_raw/f.json", "g.tmp")
    if pattern == "**/*.json":
        expected = [*expected, "z1/e.json"]
    assert found(list_paths([f"{tmp_path}/{pattern}"]), tmp_path) == expected


def test_a_glob_enters_only_folders_that_can_match(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.json", "closed/b.json")
    (tmp_path / "closed").chmod(0)
    open_to_all(tmp_path / "x")
    tmp_path.chmod(0o755)
    with ordinary_user():
        assert list_paths([f"{tmp_path}/x*/*.json"]).unreadable == []
        assert causes(list_paths([f"{tmp_path}/*/*.json"]), tmp_path) == {
            "closed": "may not be read: permission denied"
        }


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    tree(tmp_path, "a*.json", "ab.json")
    assert found(list_paths([tmp_path / "a*.json"]), tmp_path) == ["a*.json"]


@pytest.mark.parametrize("missing", ["no.json", "no/such/folder", "*.csv", "no/*.json", "file:///no/such", ""])
def test_a_path_that_does_not_exist_is_named(tmp_path: Path, missing: str) -> None:
    tree(tmp_path, "a.json")
    given = missing if missing.startswith("file:") or not missing else f"{tmp_path}/{missing}"
    with pytest.raises(NotFoundError) as raised:
        list_paths([tmp_path / "a.json", given])
    assert raised.value.advice
    assert (missing.removeprefix("file://") or "empty path") in raised.value.what


def test_a_scheme_that_is_no_store_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match=r"ftp://") as raised:
        list_paths(["ftp://host/a.json"])
    assert "s3://" in raised.value.advice


def test_a_landing_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no/landing"):
        list_landing(tmp_path / "no" / "landing")


def test_pipes_sockets_and_devices_are_reported_and_never_opened(tmp_path: Path) -> None:
    tree(tmp_path, "good.json")
    os.mkfifo(tmp_path / "pipe.json")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket.json"))
        listing = list_landing(tmp_path)
    assert found(listing, tmp_path) == ["good.json"]
    assert causes(listing, tmp_path) == {"pipe.json": "is a pipe (FIFO)", "socket.json": "is a socket"}
    named = list_paths([tmp_path / "pipe.json", "/dev/null", tmp_path / "good.json"])
    assert found(named, tmp_path) == ["good.json"]
    assert [one.why for one in named.unreadable] == ["is a device", "is a pipe (FIFO)"]


def test_links_that_leave_the_folder_are_reported(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    tree(tmp_path, "secret.json", "landing/good.json", "landing-2/near.json", "elsewhere/x.json")
    (landing / "out.json").symlink_to(tmp_path / "secret.json")
    (landing / "relative.json").symlink_to("../secret.json")
    (landing / "beside.json").symlink_to(tmp_path / "landing-2" / "near.json")
    (landing / "folder").symlink_to(tmp_path / "elsewhere")
    (landing / "twice.json").symlink_to("relative.json")
    listing = list_landing(landing)
    assert found(listing, landing) == ["good.json"]
    leaves = "is a link that leaves the folder"
    assert causes(listing, landing) == dict.fromkeys(
        ["out.json", "relative.json", "beside.json", "folder", "twice.json"], leaves
    )
    assert all(one.advice for one in listing.unreadable)
    assert found(list_paths([f"{landing}/*.json"]), landing) == ["good.json"]


def test_links_that_lead_nowhere_or_around_are_reported(tmp_path: Path) -> None:
    tree(tmp_path, "good.json", "sub/a.json")
    (tmp_path / "dangling.json").symlink_to("no.json")
    (tmp_path / "loop-1.json").symlink_to("loop-2.json")
    (tmp_path / "loop-2.json").symlink_to("loop-1.json")
    (tmp_path / "sub" / "up").symlink_to("..")
    listing = list_landing(tmp_path)
    assert found(listing, tmp_path) == ["good.json", "sub/a.json"]
    assert causes(listing, tmp_path) == {
        "dangling.json": "is a link to a file that does not exist",
        "loop-1.json": "is a link that leads back to itself",
        "loop-2.json": "is a link that leads back to itself",
        "sub/up": "is a link to a folder, which is not followed",
    }
    named = list_paths([tmp_path / "dangling.json", tmp_path / "loop-1.json"])
    assert [one.why for one in named.unreadable] == [listing.unreadable[0].why, listing.unreadable[1].why]


def test_a_link_inside_the_folder_is_read_and_comes_first(tmp_path: Path) -> None:
    tree(tmp_path, "a.json", ".data/b.json")
    (tmp_path / "z.json").symlink_to("a.json")
    (tmp_path / "y.json").symlink_to(".data/b.json")
    assert found(list_landing(tmp_path), tmp_path) == ["y.json", "z.json", "a.json"]


def test_a_landing_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    tree(tmp_path, "real/a.json")
    (tmp_path / "landing").symlink_to("real")
    (tmp_path / "landing" / "b.json").symlink_to("a.json")
    assert found(list_landing(tmp_path / "landing"), tmp_path / "landing") == ["b.json", "a.json"]
    (tmp_path / "link.json").symlink_to("real/a.json")
    assert found(list_paths([tmp_path / "link.json"]), tmp_path) == ["link.json"]


def test_a_folder_without_permission_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    tree(tmp_path, "a.json", "closed/b.json", "open/c.json", "unsearchable/d.json")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "unsearchable").chmod(0o444)
    open_to_all(tmp_path / "a.json")
    tmp_path.chmod(0o755)
    with ordinary_user():
        listing = list_landing(tmp_path)
        named = list_paths([tmp_path / "closed", tmp_path / "closed" / "b.json", tmp_path / "a.json"])
    assert found(listing, tmp_path) == ["a.json", "open/c.json"]
    denied = "may not be read: permission denied"
    assert causes(listing, tmp_path) == {"closed": denied, "unsearchable/d.json": denied}
    assert found(named, tmp_path) == ["a.json"]
    assert causes(named, tmp_path) == {"closed": denied, "closed/b.json": denied}


def test_what_a_crash_left_on_the_way_out_of_landing_is_listed_again(tmp_path: Path) -> None:
    tree(tmp_path, f"x/{MOVING}1/left.json", f"x/{MOVING}2/being-moved.json")
    os.utime(tmp_path / f"x/{MOVING}1", (1, 1))
    listing = list_landing(tmp_path)
    assert found(listing, tmp_path) == [f"x/{MOVING}1/left.json"]
    assert listing.passed_over == [f"{tmp_path}/x/{MOVING}2/"]
