"""One object: names, fingerprints, and reads that notice every change."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.landing.ordinary_user import open_to_all, ordinary_user

from carlake.landing import objects
from carlake.landing.landed import shown
from carlake.landing.listing import list_paths
from carlake.landing.objects import (
    LandedObject,
    UnreadableError,
    check_unchanged,
    hash_object,
    open_object,
    path_of,
    read_object,
    uri_of,
)


def listed(path: Path) -> LandedObject:
    [landed] = list_paths([path]).objects
    return landed


def unreadable(call: object, landed: LandedObject) -> UnreadableError:
    assert callable(call)
    with pytest.raises(UnreadableError) as raised:
        call(landed)
    assert raised.value.unreadable.uri == landed.uri
    assert shown(landed.uri) in raised.value.what and raised.value.advice
    return raised.value


def stream_whole(landed: LandedObject) -> bytes:
    with open_object(landed) as stream:
        return stream.read()


READS = [stream_whole, read_object, hash_object, check_unchanged]


def test_an_object_is_known_by_path_size_time_and_version(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}')
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    landed = listed(path)
    assert landed.uri == str(path)
    assert landed.size == 8
    assert landed.modified_at == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert stream_whole(landed) == read_object(landed) == b'{"a": 1}'
    assert hash_object(landed) == hashlib.sha256(b'{"a": 1}').hexdigest()
    check_unchanged(landed)
    assert listed(path) == landed


@pytest.mark.parametrize("seconds", [-(2**40), 2**40])
def test_a_modification_time_outside_the_calendar_stops_nothing(seconds: int) -> None:
    time = objects._modified_at(seconds * 1_000_000_000)
    assert time.tzinfo is UTC and time.year in (1, 9999)


def test_a_large_object_is_hashed_and_read_in_pieces(tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 9 + b"end"
    path = tmp_path / "large"
    path.write_bytes(content)
    landed = listed(path)
    assert hash_object(landed) == hashlib.sha256(content).hexdigest()
    assert read_object(landed) == content
    with open_object(landed) as stream:
        assert stream.seekable()
        stream.seek(-3, os.SEEK_END)
        assert stream.read() == b"end"
        stream.seek(0)
        assert stream.read(10) == content[:10]


def test_an_empty_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert read_object(listed(path)) == b"" == stream_whole(listed(path))
    assert hash_object(listed(path)) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("read", READS)
def test_an_object_that_vanished_is_named(tmp_path: Path, read: object) -> None:
    path = tmp_path / "gone.json"
    path.write_text("{}")
    landed = listed(path)
    path.unlink()
    error = unreadable(read, landed)
    assert error.vanished and error.unreadable.why == "has vanished"


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("change", ["grown", "shrunk", "replaced", "rewritten"])
def test_an_object_that_changed_since_it_was_listed_is_named(tmp_path: Path, read: object, change: str) -> None:
    path = tmp_path / "b.json"
    path.write_text("12345678")
    os.utime(path, ns=(0, 10**18))
    landed = listed(path)
    if change == "grown":
        with path.open("a") as stream:
            stream.write("9")
        os.utime(path, ns=(0, 10**18))
    elif change == "shrunk":
        path.write_text("1234")
        os.utime(path, ns=(0, 10**18))
    elif change == "replaced":
        (tmp_path / "other").write_text("87654321")
        os.utime(tmp_path / "other", ns=(0, 10**18))
        (tmp_path / "other").replace(path)
    else:
        path.write_text("87654321")
    error = unreadable(read, landed)
    assert not error.vanished and "changed" in error.unreadable.why


@pytest.mark.parametrize("change", ["grows", "vanishes", "is replaced", "is rewritten"])
def test_a_change_while_an_object_is_read_is_noticed_at_its_end(tmp_path: Path, change: str) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"1" * 100_000)
    os.utime(path, ns=(0, 10**18))
    landed = listed(path)

    def read_and_change(landed: LandedObject) -> None:
        with open_object(landed) as stream:
            stream.read(10)
            if change == "grows":
                with path.open("ab") as more:
                    more.write(b"2")
            elif change == "vanishes":
                path.unlink()
            elif change == "is replaced":
                (tmp_path / "other").write_bytes(b"3" * 100_000)
                (tmp_path / "other").replace(path)
            else:
                path.write_bytes(b"4" * 100_000)
            stream.read()

    error = unreadable(read_and_change, landed)
    assert error.vanished is (change == "vanishes")


def test_an_error_of_the_reader_is_not_blamed_on_the_object(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text("{}")

    def fail() -> None:
        with open_object(listed(path)):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as raised:
        fail()
    assert raised.value.errno == 28


@pytest.mark.parametrize("read", [stream_whole, read_object, hash_object])
def test_an_object_without_permission_is_named(tmp_path: Path, read: object) -> None:
    path = tmp_path / "secret.json"
    path.write_text("{}")
    path.chmod(0)
    open_to_all(path)
    landed = listed(path)
    with ordinary_user():
        error = unreadable(read, landed)
    assert error.unreadable.why == "may not be read: permission denied"
    assert "right to read" in error.advice and not error.vanished


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_what_takes_the_place_of_an_object_is_never_waited_for(tmp_path: Path, read: object, kind: str) -> None:
    path = tmp_path / "e.json"
    path.write_text("{}")
    landed = listed(path)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(path))
    why = unreadable(read, landed).unreadable.why
    if read is check_unchanged:
        assert why == "has changed since it was listed"
    else:
        assert why == {"pipe": "is a pipe (FIFO)", "folder": "is a folder"}.get(
            kind, "is a socket, or a pipe without a writer"
        )


def test_an_object_that_changed_is_given_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text("{}")
    landed = listed(path)
    path.write_text("{ }")
    given: list[object] = []
    with pytest.raises(UnreadableError, match="has changed since it was listed"):
        with open_object(landed) as stream:
            given.append(stream)
    assert given == []


@pytest.mark.parametrize("change", ["rewritten", "swapped back", "vanished"])
def test_a_change_in_the_middle_of_a_short_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path, aside, other = tmp_path / "g.json", tmp_path / "aside", tmp_path / "other"
    path.write_text("1234")
    landed = listed(path)
    read = os.read

    def read_and_change(descriptor: int, size: int) -> bytes:
        content = read(descriptor, size)
        if change == "rewritten":
            path.write_text("5678")
            os.utime(path, ns=(0, 0))
        elif change == "vanished":
            path.unlink()
        else:
            aside.replace(path)
        return content

    if change == "swapped back":
        # For a moment another file of the same size bears the name.
        path.replace(aside)
        other.write_text("5678")
        other.replace(path)
    monkeypatch.setattr(objects.os, "read", read_and_change)
    assert unreadable(read_object, landed).vanished is (change == "vanished")


NAMES = [
    "with space.json",
    "qu'o\"te.json",
    "percent%2Fslash%.json",
    "line\nbreak\t.json",
    "ä-ж-車.json",
    "*?[a].json",
    "-dash",
    "#?&;$(x).json",
    "a" * 250 + ".json",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_its_own_uri(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("x")
    landed = listed(path)
    assert landed.uri == str(path) == path_of(landed.uri)
    assert read_object(landed) == b"x"
    assert shown(landed.uri).isprintable()


@pytest.mark.parametrize("raw", [b"latin-\xe9.json", b"\xff\xfe", b"100%\xff 'x'.json", b"\xed\xb2\x80.json"])
def test_a_path_that_is_not_utf8_has_a_uri_that_is_and_leads_back(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / os.fsdecode(raw)
    path.write_text("x")
    [landed] = list_paths([tmp_path]).objects
    assert landed.uri.startswith("file:///") and landed.uri.encode("utf-8")
    assert path_of(landed.uri) == str(path)
    assert uri_of(str(path)) == landed.uri
    assert read_object(landed) == b"x"
    assert list_paths([landed.uri]).objects == [landed]


def test_only_local_uris_have_a_path() -> None:
    assert path_of("s3://bucket/a") is None
    assert path_of("file:///a%20b") == "/a b"
    assert path_of("file://localhost/a") == "/a"
    assert path_of("/a%20b") == "/a%20b"


def test_a_name_cannot_fake_a_message() -> None:
    assert shown("/a\n\x1b[31mok\u202e") == "/a\\n\\x1b[31mok\\u202e"
