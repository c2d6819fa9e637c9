"""Files by location: names of one place under several schemes, conditional puts, what is removed, streams and threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from obstore.exceptions import GenericError

from carlake.errors import DamagedError
from carlake.storage import places as module
from carlake.storage.checksums import checksum
from carlake.storage.places import Places, forget_kept, is_remote, path_of
from carlake.storage.store_files import RangeReader, as_properties, store_options
from carlake.storage.store_paths import StorePath, named_below
from servers.faults import Fault, Proxy, Request
from servers.versitygw import ACCESS, REGION, SECRET


@pytest.fixture
def base() -> str:
    """A store of the test's own, in memory."""
    return f"memory://{uuid4().hex}"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/lake/a#b?.parquet", "/lake/a#b?.parquet"),
        ("file:///lake/a b", "/lake/a b"),
        ("file:/lake/a", "/lake/a"),
        ("s3://bucket/day=2025-11-01/x.parquet", "s3://bucket/day=2025-11-01/x.parquet"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("s3n://bucket/x", "s3://bucket/x"),
        ("gcs://bucket/x", "gs://bucket/x"),
        ("s3://bucket/a#b?c", "s3://bucket/a#b?c"),
        ("abfss://box@account.dfs.core.windows.net/x/y", "az://box/x/y"),
    ],
)
def test_one_file_has_one_path_whatever_its_location_is_called(location: str, path: str) -> None:
    assert path_of(location) == path
    assert is_remote(location) == (not path.startswith("/"))


def test_a_new_file_is_never_put_over_another(base: str) -> None:
    places = Places()
    places.write(f"{base}/a", b"first", new=True)
    with pytest.raises(FileExistsError):
        places.write(f"{base}/a", b"second", new=True)
    assert places.read(f"{base}/a") == b"first"
    places.write(f"{base}/a", b"first", new=True)  # the same put, whose answer was lost
    places.write(f"{base}/a", b"second")
    assert places.read(f"{base}/a") == b"second"


def test_what_is_not_there_is_told_by_its_name(base: str, tmp_path: Path) -> None:
    places = Places()
    for location in (f"{base}/none", f"file://{tmp_path}/none"):
        with pytest.raises(FileNotFoundError) as gone:
            places.read(location)
        assert gone.value.filename == path_of(location)
        assert (places.stat(location), places.exists(location), places.has(location)) == (None, False, False)
        assert list(places.below(location)) == []
    assert Places().remove([f"file://{tmp_path}/none"]) == 0


def test_many_are_listed_and_removed_wherever_they_lie(base: str, tmp_path: Path) -> None:
    places = Places()
    for number in range(3):
        places.write(f"{base}/t/data/p={number}/{number}.parquet", b"x" * number)
        (tmp_path / f"{number}.parquet").write_bytes(b"x" * number)
    places.write(f"{base}/table2/other", b"")
    assert [(found.path, found.size) for found in places.below(f"{base}/t")] == [
        (f"{base}/t/data/p={number}/{number}.parquet", number) for number in range(3)
    ]
    assert places.folders(f"{base}/t/data") == ["p=0", "p=1", "p=2"]
    assert [path.name for path in named_below(StorePath(f"{base}/t", places), "[12]*")] == ["1.parquet", "2.parquet"]
    both = [f"{base}/t/data/p=1/1.parquet", f"file://{tmp_path}/1.parquet"]
    assert places.remove(both) == 2
    assert [places.exists(location) for location in both] == [False, False]
    assert len(list(places.below(f"{base}/t"))) == 2


@pytest.mark.parametrize("at", [1, 2])
def test_a_listing_that_breaks_off_is_taken_up_again(bucket: str, proxy: Proxy, at: int) -> None:
    """Its client says then that nothing more came: files would seem not to be there."""
    options = {"endpoint": proxy.endpoint, "region": REGION, "access_key_id": ACCESS, "secret_access_key": SECRET}
    places = Places(options)
    names = [f"{bucket}/t/data/{number:04d}" for number in range(1100)]  # two pages of S3's
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: places.write(name, b""), names))
    listings = count(1)

    def nth(request: Request) -> None:
        if request.operation == "ListObjectsV2":
            proxy.faults = (Fault("cut_body", operations=("ListObjectsV2",)),) if next(listings) == at else ()

    proxy.before = nth
    assert [found.path for found in places.below(f"{bucket}/t")] == names
    assert proxy.befell == {("cut_body", "ListObjectsV2"): 1}
    proxy.before, proxy.faults = None, (Fault("cut_body", operations=("ListObjectsV2",)),)
    with pytest.raises(OSError, match="/t cannot be reached"):
        list(places.below(f"{bucket}/t"))


def test_a_file_just_put_is_not_asked_for_and_an_older_one_is(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "_clock", lambda: now[0])
    (tmp_path / "file").write_bytes(b"rows")
    location = f"{base}/data/file.parquet"
    Places().upload(tmp_path / "file", location)
    module.client(base, ()).delete("data/file.parquet")  # by another, who must not while it is so young
    assert Places().has(location)
    now[0] += module.YOUNGEST_ORPHAN_SECONDS / 2 + 1
    assert not Places().has(location)


def test_what_is_put_and_removed_by_this_process_is_not_there(base: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"rows")
    Places().upload(tmp_path / "file", f"{base}/a")
    Places().remove([f"{base}/a"])
    assert not Places().has(f"{base}/a")


def test_a_content_is_compared_with_its_name(base: str, tmp_path: Path) -> None:
    places, content = Places(), b"0123456789" * 1000
    good, bad = (f"{base}/{checksum(text).hex}-a.avro" for text in (content, b"other"))
    for location in (good, bad, f"{base}/plain.avro"):
        places.write(location, content)
    assert [places.is_whole(location) for location in (good, bad, f"{base}/plain.avro")] == [True, False, None]
    assert places.download(good, len(content), tmp_path / "copy") is True
    assert (tmp_path / "copy").read_bytes() == content == places.read_checked(good)
    with pytest.raises(DamagedError, match=bad):
        places.read_checked(bad)
    places.write(good, b"changed behind our back")
    assert places.read_checked(good) == content  # such names never change, so it is not read again
    forget_kept()
    with pytest.raises(DamagedError):
        places.read_checked(good)


def test_threads_that_share_a_stream_each_read_where_they_sought(base: str) -> None:
    places = Places()
    places.write(f"{base}/file", bytes(range(100)))
    stream = RangeReader(f"{base}/file", 100, places)
    sought, read = threading.Barrier(2), dict[int, bytes]()

    def reading(at: int) -> None:
        stream.seek(at)
        sought.wait(10)  # both have sought before either reads
        read[at] = stream.read(3)

    threads = [threading.Thread(target=reading, args=(at,)) for at in (10, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert read == {10: bytes([10, 11, 12]), 50: bytes([50, 51, 52])}
    assert stream.read(4) == bytes([0, 1, 2, 3])
    assert (stream.tell(), stream.seek(-2, 2), stream.read()) == (4, 98, bytes([98, 99]))


def test_options_of_a_store_and_properties_of_a_catalog_say_the_same() -> None:
    options = {"endpoint": "http://127.0.0.1:9", "aws_region": "eu-west-1", "access_key_id": "k", "profile": "p"}
    properties = as_properties(options)
    assert properties["s3.endpoint"] == "http://127.0.0.1:9"
    assert (properties["s3.region"], properties["client.region"]) == ("eu-west-1", "eu-west-1")
    assert (properties["s3.path-style-access"], properties["s3.force-virtual-addressing"]) == ("true", "false")
    again = store_options(properties)
    assert options.items() <= again.items()
    # What a catalog's server gives for one table.
    lent = store_options({"s3.access-key-id": "a", "s3.secret-access-key": "b", "s3.session-token": "c"})
    assert lent == {"access_key_id": "a", "secret_access_key": "b", "session_token": "c"}


@pytest.mark.parametrize(
    ("says", "again"),
    [
        ("Generic S3 error: Error performing GET http://a/b in 461.271µs - HTTP error: error sending request", True),
        (
            "Generic S3 error: Error performing GET http://a/b in 1.2s - Server returned non-2xx status code: 503 Busy",
            True,
        ),
        (
            "Generic S3 error: Error performing PUT http://a/b in 9ms - Server returned non-2xx status code: 409 No",
            False,
        ),
        ("Generic S3 error: Error performing PUT http://a/b in 9ms - Client error with status 412 Precondition", False),
    ],
)
def test_what_is_asked_again_is_told_by_the_status_and_no_other_number(says: str, again: bool) -> None:
    assert module._may_pass(GenericError(says)) is again
