"""A car is forgotten in landing and archive of a store: in what is there, in older versions, and in what was deleted."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from carlake.landing.forgotten import wrap
from lakes import nested, rows_of
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]

CAR = "WVWZZZ1JZXW000001"
OTHER = nested("WAUZZZ8K9BA000002", "other", "2025-10-01T08:00:00Z")
HERS = nested(CAR, "hers", "2025-10-02T08:00:00Z")
LATER = nested(CAR, "later", "2025-10-03T08:00:00Z")


def mentions(bucket: Bucket) -> list[str]:
    """Every version of every object, deleted ones too, that names the car in its key or content."""
    found = []
    for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name):
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            content = b""
            if "Size" in each:
                answer = bucket.client.get_object(Bucket=bucket.name, Key=each["Key"], VersionId=each["VersionId"])
                content = answer["Body"].read()
                content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
            if CAR in each["Key"] or CAR.encode() in content:
                found.append(each["Key"])
    return found


def test_what_an_erasure_has_wrapped_is_forgotten_later(bucket: Bucket, lake: Open) -> None:
    broken = '{"carChassis": "WAUZZZ8K9BA000002", "event_id": '
    bucket.put("landing/both.json", HERS, broken)
    house = lake(bucket)
    house.run()
    assert house.forget(CAR).ok
    (key,) = bucket.keys("archive/2025-11-01/")
    assert wrap(broken.strip().encode()) in bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    done = house.forget("WAUZZZ8K9BA000002")
    assert done.ok and len(done.objects) == 1
    for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix="archive/2025"):
        for each in page["Versions"]:
            answer = bucket.client.get_object(Bucket=bucket.name, Key=each["Key"], VersionId=each["VersionId"])
            assert answer["Body"].read() == b'{"$carlake":"forgotten"}\n' * 2


@pytest.mark.parametrize("mode", ["move", "leave"])
def test_every_version_is_forgotten(mode: str, bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/both.json", OTHER, HERS)
    bucket.put(f"landing/{CAR}.json.gz", gzip.compress(LATER.encode()))
    house = lake(bucket, after_landing=mode)
    assert house.run().status == "succeeded"
    # What others did: an older version in landing, a deleted object, an object of no day and no id in the archive.
    bucket.put("landing/over.json", HERS)
    bucket.put("landing/over.json", OTHER)
    bucket.put("landing/_deleted.json", HERS)
    bucket.client.delete_object(Bucket=bucket.name, Key="landing/_deleted.json")
    bucket.put("archive/elsewhere.json", HERS)
    bucket.put("outside/hers.json", HERS)
    assert len(mentions(bucket)) >= 5
    done = house.forget(CAR)
    assert done.ok and done.known and done.objects
    assert mentions(bucket) == ["outside/hers.json"]
    assert [row["event_id"] for row in rows_of(house, "silver_car_telemetry")] == ["other"]
    assert house.verify().problems == ()
    if mode == "move":
        report = house.rebuild(everything=True, from_archive=True)
        assert (
            report.status == "succeeded" and house.verify().problems == () and mentions(bucket) == ["outside/hers.json"]
        )
    # It stays so when its records come again.
    bucket.put("landing/again.json", LATER, OTHER)
    assert house.run().status == "succeeded"
    assert [row["event_id"] for row in rows_of(house, "silver_car_telemetry")] == ["other"]
    if mode == "move":
        assert mentions(bucket) == ["outside/hers.json"]


def test_a_bucket_without_versions(plain: Bucket, lake: Open) -> None:
    plain.put("landing/both.json", OTHER, HERS)
    house = lake(plain)
    house.run()
    assert house.forget(CAR).ok and mentions(plain) == []
    assert len(plain.keys("archive/2025-11-01/")) == 1


def test_a_store_whose_versions_nobody_can_see_is_refused(bucket: Bucket, lake: Open) -> None:
    house = lake(bucket, archive="gs://bucket/archive")
    with pytest.raises(LakeError, match="older versions") as refused:
        house.forget(CAR)
    assert "gs://bucket/archive" in refused.value.what and refused.value.advice
