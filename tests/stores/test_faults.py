"""A store that is slow, throttles, fails or breaks off: it is survived, or named; no record is lost, none is there twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from carlake.lakehouse import Lakehouse
from carlake.landing import stores
from carlake.landing.listing import list_landing
from lakes import nested, rows_of
from servers.faults import Fault, Proxy, Request, usual
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]


def fill(bucket: Bucket, number: int) -> list[str]:
    """Objects of one record each; gives the ids of their events."""
    ids = [f"e{n:03}" for n in range(number)]
    for n, event in enumerate(ids):
        bucket.put(f"landing/{event}.json", nested(f"CAR{n % 5}", event, "2025-10-01T08:00:00Z"))
    return ids


def events(house: Lakehouse) -> list[str]:
    return sorted(row["event_id"] for row in rows_of(house, "silver_car_telemetry"))


def whole(house: Lakehouse, bucket: Bucket, ids: list[str]) -> None:
    """All is landed, once, and moved, once."""
    assert events(house) == ids and house.verify().problems == ()
    assert bucket.keys("landing/") == [] and sorted(key[-9:-5] for key in bucket.keys("archive/")) == sorted(ids)


@pytest.mark.parametrize(("share", "versioned"), [(0.01, False), (0.05, True), (0.2, False), (0.2, True)], ids=str)
def test_a_share_of_all_requests_fails(
    share: float, versioned: bool, bucket: Bucket, plain: Bucket, lake: Open, proxy: Proxy
) -> None:
    used = bucket if versioned else plain
    ids = fill(used, 40)
    house = lake(used)
    # One of the worst befalls for certain, however few the requests are.
    proxy.faults, proxy.seed = (*usual(share), Fault("lost", operations=("PutObject",), times=1)), 7
    reports = [house.run() for _ in range(3)]
    assert reports[-1].status == "succeeded"
    assert proxy.befell.total() > 0
    proxy.faults = ()
    whole(house, used, ids)


LOST = ["GetObject", "HeadObject", "PutObject", "DeleteObject", "ListObjectsV2"]


@pytest.mark.parametrize("kind", ["lost", "cut_headers", "cut_body", "refused"])
def test_the_first_of_each_request_breaks_off(kind: str, bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    """`lost`: the put and the delete have happened, and nobody hears of it."""
    ids = fill(bucket, 3)
    house = lake(bucket)
    proxy.faults = tuple(Fault(kind, operations=(operation,), times=1) for operation in LOST)  # type: ignore[arg-type]
    assert house.run().status == "succeeded" and house.run().status == "succeeded"
    assert {operation for _, operation in proxy.befell} >= {"GetObject", "PutObject", "DeleteObject", "ListObjectsV2"}
    proxy.faults = ()
    whole(house, bucket, ids)


def test_the_answer_to_a_conditional_delete_is_lost(plain: Bucket, lake: Open, proxy: Proxy) -> None:
    """What is put between the delete and its second try is not what was meant."""
    ids = fill(plain, 1)
    house = lake(plain)
    newer = nested("CAR9", "new", "2025-10-02T08:00:00Z")
    deletes = []

    def put_newer(request: object) -> None:
        if getattr(request, "operation", "") == "DeleteObject" and "/landing/e000" in getattr(request, "path", ""):
            deletes.append(request)
            if len(deletes) == 2:
                plain.put("landing/e000.json", newer)

    proxy.before = put_newer
    proxy.faults = (Fault("lost", operations=("DeleteObject",), path="/landing/e000", times=1),)
    house.run()
    proxy.before, proxy.faults = None, ()
    assert len(deletes) == 2 and plain.get("landing/e000.json") == newer.encode()
    assert house.run().status == "succeeded" and events(house) == [*ids, "new"]


@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "DeleteObject"])
def test_when_the_tries_end_the_object_stays_and_is_named(
    operation: str, bucket: Bucket, lake: Open, proxy: Proxy, options: dict[str, str]
) -> None:
    ids = fill(bucket, 3)
    house = lake(bucket, store_properties={**options, "max_retries": "1"})
    proxy.faults = (Fault("status", operations=(operation,), path="e001", status=503),)
    report = house.run()
    assert report.status == "partial"
    [problem] = report.problems
    assert problem.uri == f"{bucket.uri}/landing/e001.json" and problem.why and problem.advice
    assert bucket.keys("landing/") == ["landing/e001.json"]
    assert events(house) == [each for each in ids if operation != "GetObject" or each != "e001"]
    proxy.faults = ()
    assert house.run().status == "succeeded"
    whole(house, bucket, ids)


def test_a_store_that_says_slow_down_is_given_time(bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    ids = fill(bucket, 3)
    house = lake(bucket)
    proxy.faults = (Fault("status", times=4, status=503, seconds=1), Fault("delay", 0.3, seconds=0.2))
    assert house.run().status == "succeeded"
    assert proxy.befell["status", "ListObjectsV2"] == 4 and any(kind == "delay" for kind, _ in proxy.befell)
    proxy.faults = ()
    whole(house, bucket, ids)


def test_a_store_that_is_away_is_named(bucket: Bucket, lake: Open, proxy: Proxy, options: dict[str, str]) -> None:
    ids = fill(bucket, 1)
    house = lake(bucket, store_properties={**options, "max_retries": "1"})
    proxy.faults = (Fault("refused"),)
    report = house.run()
    assert (
        report.status == "partial" and report.problems[0].uri == f"{bucket.uri}/landing" and report.problems[0].advice
    )
    proxy.faults = ()
    assert house.run().status == "succeeded"
    whole(house, bucket, ids)


def test_a_listing_of_many_pages_goes_on_where_it_broke_off(bucket: Bucket, proxy: Proxy, lake: Open) -> None:
    house = lake(bucket)
    stores.at_once(lambda n: stores.put(f"{bucket.uri}/landing/{n:04}.json", b"{}"), range(2100))
    proxy.seen.clear()

    def cut_the_third(request: Request) -> None:
        proxy.faults = (Fault("cut_body", operations=("ListObjectsV2",)),) if len(proxy.seen) == 2 else ()

    proxy.before = cut_the_third
    found = list_landing(house.landing)
    assert [landed.uri[-9:-5] for landed in found.objects] == [f"{n:04}" for n in range(2100)] and not found.unreadable
    assert proxy.befell == {("cut_body", "ListObjectsV2"): 1} and proxy.operations == {"ListObjectsV2": 4}


def test_the_answer_to_the_delete_of_a_version_is_lost(bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    """Some stores refuse to delete a version that is gone while the object has others."""
    for event in ("older", "newer"):
        bucket.put("landing/a.json", nested("CAR1", event, "2025-10-01T08:00:00Z"))
    house = lake(bucket)
    proxy.faults = (Fault("lost", operations=("DeleteObject",), times=1),)
    assert house.run().status == "succeeded" and events(house) == ["newer"]
    assert proxy.befell.total() == 1 and proxy.operations["DeleteObject"] == 2
    assert house.run().status == "succeeded" and events(house) == ["newer", "older"]
