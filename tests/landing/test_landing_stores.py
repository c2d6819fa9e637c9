"""The same through an object store: S3's protocol over the wire, and obstore's store in memory."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow.csv
import pytest
from tests.landing.s3_server import S3Server, serving

from carlake.errors import NotFoundError
from carlake.landing import store_archive, stores, versions
from carlake.landing.archive import archive
from carlake.landing.listing import list_landing, list_paths
from carlake.landing.objects import (
    LandedObject,
    UnreadableError,
    check_unchanged,
    hash_object,
    open_object,
    read_object,
)
from carlake.landing.store_listing import under
from carlake.storage import clients as store_clients
from carlake.storage.clients import forget_clients, leave, use
from carlake.storage.places import Places
from servers.faults import Fault, Request, failing

DAY = date(2026, 1, 2)
MODIFIED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        # What lakes of other tests have told of their stores is nothing to these.
        monkeypatch.setattr(store_clients, "_used", {})
        monkeypatch.setattr(store_clients, "_usual", [])
        forget_clients()
        server.buckets["lake"] = {}
        yield server
    forget_clients()


@pytest.fixture
def bucket(server: S3Server) -> dict[str, bytes]:
    return server.buckets["lake"]


def uris(objects: list[LandedObject]) -> list[str]:
    return [landed.uri.removeprefix("s3://lake/") for landed in objects]


def listed(uri: str) -> LandedObject:
    [landed] = list_paths([uri]).objects
    return landed


def test_a_prefix_is_listed_by_the_rules_of_folders(bucket: dict[str, bytes]) -> None:
    keys = [
        "in/a.json",
        "in/b c%2F'\"+=&.json",
        "in/sub/ä.json",
        "in/_tmp/1",
        "in/_tmp/2",
        "in/c.part",
        "in/.d",
        "inside/e.json",
    ]
    bucket.update({key: key.encode() for key in keys} | {"in/sub/": b""})
    for given in ("s3://lake/in", "s3://lake/in/"):
        listing = list_landing(given)
        assert uris(listing.objects) == ["in/a.json", "in/b c%2F'\"+=&.json", "in/sub/ä.json"]
        assert listing.unreadable == []
        assert [uri.removeprefix("s3://lake/in/") for uri in listing.passed_over] == [".d", "_tmp/", "c.part"]
        assert [read_object(landed).decode() for landed in listing.objects] == uris(listing.objects)
    assert listing.objects[0].modified_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert listing.objects[0].size == 9
    assert uris(list_paths(["s3://lake"]).objects) == [*uris(listing.objects), "inside/e.json"]


def test_a_user_names_objects_prefixes_and_globs(bucket: dict[str, bytes]) -> None:
    bucket.update(dict.fromkeys(["a.json", "x/b.json", "x/y/c.json", "x/y/_d.json", "x*.json"], b"{}"))
    assert uris(list_paths(["s3://lake/x/y/_d.json"]).objects) == ["x/y/_d.json"]
    assert uris(list_paths(["s3://lake/x/", "s3://lake/x/b.json"]).objects) == ["x/b.json", "x/y/c.json"]
    assert uris(list_paths(["s3://lake/**/[bc].json"]).objects) == ["x/b.json", "x/y/c.json"]
    assert uris(list_paths(["s3://lake/x/*"]).objects) == ["x/b.json", "x/y/c.json"]
    assert uris(list_paths(["s3://lake/x*.json"]).objects) == ["x*.json"]
    assert uris(list_paths(["s3://lake/x/y/_*"]).objects) == ["x/y/_d.json"]


def test_what_does_not_exist_is_named(bucket: dict[str, bytes]) -> None:
    assert list_landing("s3://lake/landing").objects == []
    for missing in ("s3://lake/no", "s3://lake/no/*.json", "s3://lake/a.json"):
        with pytest.raises(NotFoundError) as raised:
            list_paths([missing])
        assert missing in raised.value.what
    for call in (list_landing, lambda uri: list_paths([uri])):
        with pytest.raises(NotFoundError, match=r"no bucket s3://nobody"):
            call("s3://nobody/x/")


def test_what_may_not_be_read_is_named_and_the_others_go_on(
    server: S3Server, bucket: dict[str, bytes], tmp_path: Path
) -> None:
    bucket.update({"closed/a.json": b"1", "b.json": b"2"})
    closed = listed("s3://lake/closed/a.json")
    server.forbidden.append("closed/")
    (tmp_path / "c.json").touch()
    listing = list_paths(["s3://lake/closed/", "s3://lake/closed/a.json", "s3://lake/b.json", tmp_path])
    assert [landed.uri.rpartition("/")[2] for landed in listing.objects] == ["c.json", "b.json"]
    assert [one.uri for one in listing.unreadable] == ["s3://lake/closed", "s3://lake/closed/a.json"]
    assert all("permission denied" in one.why and one.advice for one in listing.unreadable)
    for read in (read_object, hash_object, check_unchanged):
        with pytest.raises(UnreadableError, match=r"lake/closed/a\.json cannot be reached: permission denied"):
            read(closed)


def test_a_store_for_which_there_are_no_credentials_is_not_said_to_refuse_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Where a machine with a role has its credentials, nobody answers.
    options = (("endpoint", "http://127.0.0.1:9"), ("max_retries", "0"), ("metadata_endpoint", "http://127.0.0.1:9"))
    use(options, ["s3://nobodys/"])
    try:
        (found,) = list_paths(["s3://nobodys/x/"]).unreadable
        with pytest.raises(OSError, match="cannot be reached: no credentials for it were found"):
            Places(dict(options)).read("s3://nobodys/x/a.json")
    finally:
        leave(options, ["s3://nobodys/"])
    assert "no credentials for it were found" in found.why and "AWS_PROFILE" in found.advice, found


ODD = ("in/a//b.json", "in/c/../x.json", "in/d/./y.json", "in//q.json", "in/e/2\n3.json", "in/f//")


@pytest.fixture
def paths_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a store that is not S3: there is no client that takes any key."""
    monkeypatch.setattr(versions, "objects_below", lambda prefix: iter(()))


@pytest.fixture(params=["any key", "paths alone"])
def either_client(request: pytest.FixtureRequest) -> None:
    if request.param == "paths alone":
        request.getfixturevalue("paths_alone")


@pytest.mark.parametrize("key", ODD)
def test_a_key_that_is_no_path_is_named_and_the_others_are_listed(
    bucket: dict[str, bytes], key: str, either_client: None
) -> None:
    good = [
        "in/0.json",
        "in/a.json",
        "in/a/c.json",
        "in/b/1.json",
        "in/b/e/2.json",
        "in/e/9.json",
        "in/f/0",
        "in/z.json",
    ]
    bucket.update(dict.fromkeys([*good, key], b"1"))
    found = list_landing("s3://lake/in")
    assert uris(found.objects) == good
    [problem] = found.unreadable
    assert problem.uri == f"s3://lake/{key}" and repr(key) in problem.why and problem.advice


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_many_keys_that_are_no_paths_on_many_pages(
    server: S3Server, bucket: dict[str, bytes], page: int, either_client: None
) -> None:
    server.page = page
    good = ["in/a/c.json", "in/b/0.json", "in/b/1.json", "in/g/1.json", "in/z.json"]
    odd = [key for key in ODD if not key.startswith("in//")]
    bucket.update(dict.fromkeys([*good, *odd], b"1"))
    found = list_landing("s3://lake/in")
    assert uris(found.objects) == good
    assert {problem.uri for problem in found.unreadable} == {f"s3://lake/{key}" for key in odd}


def test_the_listing_of_a_folder_is_asked_again_where_it_breaks_off(
    server: S3Server, bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, paths_alone: None
) -> None:
    bucket.update(dict.fromkeys(["in/a.json", "in/b//c.json", "in/d.json"], b"1"))
    with failing(server.environment["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_clients()

        def cut_folders(request: Request) -> None:
            proxy.faults = (Fault("cut_body", times=1),) if "delimiter" in request.query else ()

        proxy.before = cut_folders
        assert uris(list_landing("s3://lake/in").objects) == ["in/a.json", "in/d.json"]
        assert proxy.befell.total() > 0


def test_what_a_key_that_is_no_path_hides_is_said(bucket: dict[str, bytes], paths_alone: None) -> None:
    """The store gives whole pages, and what sorts before the key on its page cannot be asked for."""
    bucket.update(dict.fromkeys(["in/1.json", "in/2\n3.json", "in/4.json"], b"1"))
    found = list_landing("s3://lake/in")
    assert uris(found.objects) == ["in/4.json"] and "sort just before it may be hidden" in found.unreadable[0].advice


def test_an_object_is_a_seekable_stream(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(5000))
    bucket["t.csv"] = content
    monkeypatch.setattr(stores, "_RANGE", 1000)
    landed = listed("s3://lake/t.csv")
    assert hash_object(landed) == hashlib.sha256(content).hexdigest()
    with open_object(landed) as stream:
        assert stream.read(3) == b"a,b"
        assert stream.seek(-4, io.SEEK_END) == len(content) - 4
        assert stream.read() == b"9,x\n" and stream.read() == b"" and stream.tell() == len(content)
        stream.seek(0)
        assert pyarrow.csv.read_csv(stream).num_rows == 5000


def test_an_empty_object_is_read(bucket: dict[str, bytes]) -> None:
    bucket["e"] = b""
    landed = listed("s3://lake/e")
    assert read_object(landed) == b""
    del bucket["e"]
    with pytest.raises(UnreadableError, match="s3://lake/e has vanished"):
        read_object(landed)


@pytest.mark.parametrize("read", [read_object, hash_object, check_unchanged])
def test_what_vanished_or_changed_is_named(bucket: dict[str, bytes], read: object) -> None:
    assert callable(read)
    bucket["a"] = b"1234"
    landed = listed("s3://lake/a")
    bucket["a"] = b"5678"
    with pytest.raises(UnreadableError, match=r"s3://lake/a .*change") as raised:
        read(landed)
    assert not raised.value.vanished
    del bucket["a"]
    with pytest.raises(UnreadableError, match="s3://lake/a has vanished") as raised:
        read(landed)
    assert raised.value.vanished


def test_a_change_between_two_ranges_is_noticed(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_RANGE", 4)
    bucket["a"] = b"12345678"
    landed = listed("s3://lake/a")
    with open_object(landed) as stream:
        assert stream.read(4) == b"1234"
        bucket["a"] = b"abcdefgh"
        with pytest.raises(UnreadableError, match="changed while it was read"):
            stream.read(4)


@pytest.fixture(params=["s3", "memory"])
def root(request: pytest.FixtureRequest) -> str:
    if request.param == "s3":
        request.getfixturevalue("server")
        return "s3://lake"
    return f"memory://{uuid4()}"


def put(uri: str, content: bytes) -> LandedObject:
    base, key = stores.split(uri)
    stores.store(base).put(key, content)
    return listed(uri)


def everything(root: str) -> dict[str, bytes]:
    return {landed.uri.removeprefix(f"{root}/"): read_object(landed) for landed in under(root)[0]}


NAME = "ä 'b' %2F.json"


def test_archive_moves_once_and_never_overwrites(root: str) -> None:
    landed = put(f"{root}/landing/{NAME}", b"{}")
    source_id = hash_object(landed)
    for outcome in ("moved", "gone"):
        assert archive(landed, source_id, f"{root}/archive", DAY).outcome == outcome
        assert everything(root) == {f"archive/2026-01-02/{source_id}/{NAME}": b"{}"}
    again = put(f"{root}/landing/{NAME}", b"{}")
    assert archive(again, source_id, f"{root}/archive/", DAY).outcome == "moved"
    assert everything(root) == {f"archive/2026-01-02/{source_id}/{NAME}": b"{}"}
    put(f"{root}/archive/2026-01-02/{source_id}/{NAME}", b"other")
    done = archive(put(f"{root}/landing/{NAME}", b"{}"), source_id, f"{root}/archive", DAY)
    assert done.outcome == "moved" and done.to.endswith("/ä 'b' %2F.2.json")
    assert sorted(everything(root).values()) == [b"other", b"{}"]


def test_archive_leaves_and_deletes(root: str) -> None:
    landed = put(f"{root}/landing/a", b"{}")
    source_id = hash_object(landed)
    assert archive(landed, source_id, f"{root}/archive", DAY, mode="leave").outcome == "left"
    assert everything(root) == {"landing/a": b"{}"}
    assert archive(landed, "0" * 64, f"{root}/archive", DAY, mode="delete").outcome == "changed"
    assert archive(landed, source_id, f"{root}/archive", DAY, mode="delete").outcome == "deleted"
    assert everything(root) == {}


def test_archive_keeps_what_was_uploaded_since(root: str) -> None:
    landed = put(f"{root}/landing/a", b"as read")
    source_id = hash_object(landed)
    put(f"{root}/landing/a", b"newer")
    for mode in ("move", "delete"):
        assert archive(landed, source_id, f"{root}/archive", DAY, mode=mode).outcome == "changed"
        assert everything(root) == {"landing/a": b"newer"}


def test_archive_keeps_what_is_uploaded_between_copy_and_delete(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    landed = put(f"{root}/landing/a", b"as read")
    source_id = hash_object(landed)

    delete = versions.delete_as_read

    def upload_and_delete(read: LandedObject, version_id: str | None) -> str:
        put(f"{root}/landing/a", b"newer")
        return delete(read, version_id)

    monkeypatch.setattr(versions, "delete_as_read", upload_and_delete)
    assert archive(landed, source_id, f"{root}/archive", DAY).outcome == "changed"
    assert everything(root) == {"landing/a": b"newer", f"archive/2026-01-02/{source_id}/a": b"as read"}


def test_archive_takes_back_a_copy_of_the_wrong_content(root: str) -> None:
    landed = put(f"{root}/landing/a", b"content")
    assert archive(landed, "0" * 64, f"{root}/archive", DAY).outcome == "changed"
    assert everything(root) == {"landing/a": b"content"}


def test_archive_in_another_store_or_on_this_machine(root: str, tmp_path: Path) -> None:
    elsewhere = f"memory://{uuid4()}"
    landed = put(f"{root}/landing/a", b"{}")
    source_id = hash_object(landed)
    assert archive(landed, source_id, f"{elsewhere}/archive", DAY).outcome == "moved"
    assert everything(root) == {} and everything(elsewhere) == {f"archive/2026-01-02/{source_id}/a": b"{}"}
    landed = put(f"{root}/landing/a", b"{}")
    done = archive(landed, source_id, tmp_path / "archive", DAY)
    place = tmp_path / "archive" / "2026-01-02" / source_id / "a"
    assert (done.outcome, done.to, place.read_bytes()) == ("moved", str(place), b"{}") and everything(root) == {}
    assert place.stat().st_mtime == pytest.approx(landed.modified_at.timestamp())
    [local] = list_paths([place]).objects
    assert archive(local, source_id, f"{root}/archive", DAY).outcome == "moved"
    assert not place.exists() and everything(root) == {f"archive/2026-01-02/{source_id}/a": b"{}"}


def test_an_archive_that_is_not_there_keeps_the_object(root: str, tmp_path: Path, server: S3Server) -> None:
    landed = put(f"{root}/landing/a", b"{}")
    done = archive(landed, hash_object(landed), "s3://other/archive", DAY)
    assert done.outcome == "failed" and "s3://other/archive" in done.why and "there is no bucket" in done.why
    (tmp_path / "b").touch()
    [local] = list_paths([tmp_path / "b"]).objects
    assert archive(local, hash_object(local), "s3://other/archive", DAY).outcome == "failed"
    assert everything(root) == {"landing/a": b"{}"} and (tmp_path / "b").exists()


def test_a_store_that_deletes_whatever_bears_the_name_is_found_out(server: S3Server, bucket: dict[str, bytes]) -> None:
    server.heeds_conditions = False
    versions.heeds_conditions.cache_clear()
    landed = put("s3://lake/landing/a", b"{}")
    done = archive(landed, hash_object(landed), "s3://lake/archive", DAY)
    assert done.outcome == "failed" and "deletes whatever bears the name" in done.why and "versions" in done.advice
    assert bucket == {"landing/a": b"{}", f"archive/2026-01-02/{hash_object(landed)}/a": b"{}"}
    try:
        use((("unconditional_delete", "true"),), ["s3://lake"])
        assert archive(landed, hash_object(landed), "s3://lake/archive", DAY).outcome == "moved"
    finally:
        leave((("unconditional_delete", "true"),), ["s3://lake"])
        versions.heeds_conditions.cache_clear()


def test_archive_without_permission_keeps_the_object(server: S3Server, bucket: dict[str, bytes]) -> None:
    landed = put("s3://lake/landing/a", b"{}")
    source_id = hash_object(landed)
    server.forbidden.append("archive/")
    done = archive(landed, source_id, "s3://lake/archive", DAY)
    assert done.outcome == "failed" and "permission denied" in done.why and done.advice
    assert bucket == {"landing/a": b"{}"}


def test_a_store_that_keeps_another_content_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each put would be at a name of its own, without an end."""
    monkeypatch.setattr(store_archive, "SMALL_BYTES", 0)
    file = tmp_path / "a.json"
    file.write_bytes(b"whole")
    source_id = hashlib.sha256(b"whole").hexdigest()
    folder = f"memory://{uuid4()}/archive"
    assert store_archive.place_file(file, source_id, folder, "a.json", MODIFIED_AT) == f"{folder}/a.json"
    put = stores.put
    monkeypatch.setattr(stores, "put", lambda uri, content, modified_at: put(uri, b"broken", modified_at))
    with pytest.raises(UnreadableError, match="is not what was put there"):
        store_archive.place_file(file, source_id, f"{folder}/2", "a.json", MODIFIED_AT)
    assert len(under(f"{folder}/2")[0]) == 3
