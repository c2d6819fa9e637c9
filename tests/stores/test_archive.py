"""What leaves landing in a store is what was read, whatever else is put under its name, by whomever and whenever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from carlake.lakehouse import Lakehouse
from carlake.landing import store_archive, versions
from carlake.landing.listing import list_paths
from lakes import nested, rows_of
from servers.faults import Proxy, Request
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]

ONE, TWO, THREE = (nested("CAR1", f"e{n}", f"2025-10-0{n}T08:00:00Z") for n in (1, 2, 3))


def source_id(record: str) -> str:
    return hashlib.sha256(record.encode()).hexdigest()


def events(house: Lakehouse) -> list[str]:
    return [row["event_id"] for row in rows_of(house, "silver_car_telemetry")]


@pytest.fixture(params=["versions", "no versions"])
def either(request: pytest.FixtureRequest, bucket: Bucket, plain: Bucket) -> Bucket:
    return bucket if request.param == "versions" else plain


def test_objects_are_landed_and_moved(either: Bucket, lake: Open, proxy: Proxy) -> None:
    either.put("landing/a.json", ONE)
    either.put("landing/b c/ä '%2F.json", TWO)
    house = lake(either)
    assert house.run().status == "succeeded" and events(house) == ["e1", "e2"]
    places = {source_id(ONE): "a.json", source_id(TWO): "ä '%2F.json"}
    assert sorted(either.keys()) == sorted(f"archive/2025-11-01/{each}/{name}" for each, name in places.items())
    # Nothing of it is left in landing: no older version, no marker.
    assert either.versions("landing/") == []
    assert either.get(f"archive/2025-11-01/{source_id(ONE)}/a.json") == ONE.encode()
    assert house.verify().problems == ()
    [event] = house.trace("e1").events
    assert str(event.records[0].file.archived).startswith(f"{either.uri}/archive/")
    proxy.seen.clear()
    assert house.run().idle and proxy.operations == {"ListObjectsV2": 1}


def test_what_takes_the_name_meanwhile_stays_and_is_landed_next(either: Bucket, lake: Open, proxy: Proxy) -> None:
    """A newer object comes between each two requests of the archive move."""
    for before in ("PutObject", "DeleteObject"):
        either.put("landing/a.json", ONE)
        house = lake(either)

        def put_newer(request: Request, before: str = before) -> None:
            if request.operation == before and "carlake-try" not in request.path:
                proxy.before = None
                either.put("landing/a.json", TWO)

        proxy.before = put_newer
        report = house.run()
        assert either.get("landing/a.json") == TWO.encode()
        assert [problem.uri for problem in report.problems] in ([], [f"{either.uri}/landing/a.json"])
        assert house.run().status == "succeeded" and events(house) == ["e1", "e2"]
        assert either.keys("landing/") == []
        assert {key.split("/")[2] for key in either.keys("archive/")} == {source_id(ONE), source_id(TWO)}


def test_what_was_overwritten_after_it_was_read_goes_into_the_archive(bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    bucket.put("landing/a.json", ONE)
    house = lake(bucket)
    reads = []

    def put_newer(request: Request) -> None:
        if request.operation == "GetObject" and "/landing/" in request.path:
            reads.append(request)
            if len(reads) == 2:  # the first read it for its rows, the second is the archive's
                bucket.put("landing/a.json", TWO)

    proxy.before = put_newer
    assert house.run().status == "succeeded"
    proxy.before = None
    assert bucket.keys() == [f"archive/2025-11-01/{source_id(ONE)}/a.json", "landing/a.json"]
    assert house.run().status == "succeeded" and events(house) == ["e1", "e2"]


def test_versions_that_nobody_read_come_to_light_again(bucket: Bucket, lake: Open) -> None:
    for record in (ONE, TWO, THREE, ONE):
        bucket.put("landing/a.json", record)
    house = lake(bucket)
    for _ in range(4):
        assert house.run().status == "succeeded"
    assert events(house) == ["e1", "e2", "e3"] and bucket.versions("landing/") == []
    assert {key.split("/")[2] for key in bucket.keys("archive/")} == set(map(source_id, (ONE, TWO, THREE)))


def test_nothing_in_the_archive_is_overwritten(either: Bucket, lake: Open) -> None:
    place = f"archive/2025-11-01/{source_id(ONE)}"
    either.put(f"{place}/a.json", "another's")
    either.put("landing/a.json", ONE)
    house = lake(either)
    assert house.run().status == "succeeded"
    assert either.get(f"{place}/a.json") == b"another's" and either.get(f"{place}/a.2.json") == ONE.encode()
    assert either.keys("landing/") == []


def test_an_archive_in_another_bucket_and_on_this_machine(bucket: Bucket, plain: Bucket, lake: Open) -> None:
    bucket.put("landing/a.json", ONE)
    house = lake(bucket, archive=f"{plain.uri}/old")
    assert house.run().status == "succeeded"
    assert plain.keys() == [f"old/2025-11-01/{source_id(ONE)}/a.json"] and bucket.versions() == []
    house.close()
    bucket.put("landing/b.json", TWO)
    house = lake(bucket, archive="")
    assert house.run().status == "succeeded" and bucket.versions() == []
    [archived] = list(Path(house.archive).rglob("b.json"))
    assert archived.read_text() == TWO and archived.parent.name == source_id(TWO)


def test_a_large_object_is_copied_by_the_store_in_parts(
    either: Bucket, lake: Open, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_archive, "SMALL_BYTES", 1 << 20)
    monkeypatch.setattr(versions, "PART_BYTES", 5 << 20)
    either.put("landing/large.json", ONE, b" " * (6 << 20))
    house = lake(either)
    assert house.run().status == "succeeded" and events(house) == ["e1"]
    assert proxy.operations["UploadPartCopy"] == 2 and proxy.operations["PutObject"] <= 1
    [key] = either.keys()
    assert len(either.get(key)) == len(ONE) + 1 + (6 << 20) and either.versions("landing/") == []


def test_a_large_copy_that_is_not_what_was_read_is_taken_back(
    bucket: Bucket, lake: Open, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_archive, "SMALL_BYTES", 1)
    bucket.put("landing/a.json", ONE)
    house = lake(bucket)
    place = f"archive/2025-11-01/{source_id(ONE)}/a.json"
    copied: list[Request] = []

    def spoil(request: Request) -> None:
        if copied and request.operation == "HeadObject" and request.path.endswith(place):
            proxy.before = None
            bucket.put(place, "spoilt on the way")
        copied.extend([request] if request.operation == "CopyObject" else [])

    proxy.before = spoil
    report = house.run()
    assert [problem.uri for problem in report.problems] == [f"{house.landing}/a.json"]
    assert bucket.keys() == ["landing/a.json"]
    assert house.run().status == "succeeded" and bucket.keys() == [place] and bucket.get(place) == ONE.encode()


def test_leave_and_delete(either: Bucket, lake: Open, proxy: Proxy) -> None:
    either.put("landing/a.json", ONE)
    house = lake(either, after_landing="leave")
    assert house.run().status == "succeeded" and either.keys() == ["landing/a.json"]
    house.close()
    house = lake(either, after_landing="delete")
    assert house.run().status == "succeeded" and either.keys() == [] and events(house) == ["e1"]
    assert either.versions() == []


def test_markers_say_what_is_whole(bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/a.json", ONE)
    bucket.put("landing/b.json", TWO)
    bucket.put("landing/b.json.ready")
    house = lake(bucket, whole_when="marker")
    assert house.run().status == "succeeded" and events(house) == ["e2"]
    assert bucket.keys("landing/") == ["landing/a.json"]


def deliver(bucket: Bucket, record: str) -> None:
    bucket.put("landing/a.json", record)
    bucket.put("landing/a.json.ready")


def test_a_version_that_comes_to_light_again_keeps_its_marker(bucket: Bucket, lake: Open) -> None:
    for record in (ONE, TWO):
        deliver(bucket, record)
    house = lake(bucket, whole_when="marker")
    for _ in range(2):
        assert house.run().status == "succeeded"
    assert events(house) == ["e1", "e2"] and bucket.versions("landing/") == []


def test_what_is_put_while_another_is_archived_keeps_its_marker(either: Bucket, lake: Open, proxy: Proxy) -> None:
    """A newer object and its marker come before each delete: of the object, and of the marker."""
    for last in ("a.json", "a.json.ready"):
        deliver(either, ONE)
        house = lake(either, whole_when="marker")

        def put_newer(request: Request, last: str = last) -> None:
            if request.operation == "DeleteObject" and request.path.endswith(f"/landing/{last}"):
                proxy.before = None
                deliver(either, TWO)

        proxy.before = put_newer
        house.run()
        assert proxy.before is None and either.get("landing/a.json") == TWO.encode()
        assert house.run().status == "succeeded" and events(house) == ["e1", "e2"]
        assert either.versions("landing/") == []


def test_bronze_is_made_again_from_the_archive(bucket: Bucket, lake: Open) -> None:
    for name, record in (("a", ONE), ("b", TWO)):
        bucket.put(f"landing/{name}.json", record)
    house = lake(bucket)
    house.run()
    before = rows_of(house, "silver_car_telemetry")
    report = house.rebuild(everything=True, from_archive=True)
    assert report.status == "succeeded" and report.notes == () and report.steps[0].rows_in == 2
    assert rows_of(house, "silver_car_telemetry") == before and house.verify().problems == ()


def test_objects_of_an_archive_have_the_time_that_they_were_landed_with(bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/a.json", ONE)
    [landed] = list_paths([f"{lake(bucket).landing}/a.json"]).objects
    lake(bucket).run()
    for given in (f"{bucket.uri}/archive", f"{bucket.uri}/{bucket.keys('archive/')[0]}"):
        [archived] = list_paths([given]).objects
        assert archived.modified_at == landed.modified_at


@pytest.mark.parametrize(("minutes", "reads"), [(1, 1), (60, 0)])
def test_an_object_that_stays_is_not_read_again_unless_it_was_new(
    minutes: int, reads: int, bucket: Bucket, lake: Open, proxy: Proxy
) -> None:
    """A store's times are whole seconds: what was put over an object in its second has its time and, perhaps, its size."""
    bucket.put("landing/a.json", ONE)
    put_at = bucket.client.head_object(Bucket=bucket.name, Key="landing/a.json")["LastModified"]
    house = lake(bucket, after_landing="leave", clock=lambda: put_at + timedelta(minutes=minutes))
    assert house.run().status == "succeeded"
    proxy.seen.clear()
    assert house.run().status == "succeeded" and proxy.operations["GetObject"] == reads
