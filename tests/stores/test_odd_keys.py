"""Keys that are no paths, and empty objects that mark a folder: what lies beside them is landed, and no watch is kept busy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from carlake.lakehouse import Lakehouse
from carlake.watch.loop import IDLE, Watch
from lakes import nested, rows_of
from servers.faults import Fault, Proxy
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]


def record(number: int) -> str:
    return nested("CAR1", f"e{number}", f"2025-10-0{number}T08:00:00Z")


def events(house: Lakehouse) -> list[str]:
    return [str(row["event_id"]) for row in rows_of(house, "silver_car_telemetry")]


@pytest.mark.parametrize("mark", ["landing/", "landing/x/", "landing/a/b/"])
def test_an_empty_object_that_marks_a_folder_is_no_data(mark: str, bucket: Bucket, lake: Open) -> None:
    bucket.put(mark)
    house = lake(bucket)
    assert house.verify().pending == 0 and house.run().idle
    bucket.put("landing/a/c.json", record(1))
    assert house.run().status == "succeeded" and events(house) == ["e1"]
    watched = Watch(house, until_idle=True).run()
    assert (watched.reason, watched.runs) == (IDLE, 0) and bucket.keys(mark)


def test_an_object_of_no_bytes_is_one_that_was_landed(bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/empty.json")
    house = lake(bucket)
    assert house.run().status == "succeeded" and bucket.keys("landing/") == []
    assert [row["source_size"] for row in rows_of(house, "bronze_car_data")] == [0]


@pytest.mark.parametrize("name", ["x\ny.json", "m\ty/a.json", "\x7f"])
def test_a_key_that_is_no_path_hides_no_other(name: str, bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    """The names of the others sort before it and behind, in its folder and in others."""
    names = ["!.json", "1.json", "m!.json", "m/1.json", "x!.json", "z.json", "~/1.json"]
    for number, other in enumerate(names, 1):
        bucket.put(f"landing/{other}", record(number))
    bucket.put(f"landing/{name}", record(9))
    bucket.put("landing/m/")
    house = lake(bucket)
    proxy.faults = (Fault("cut_body", operations=("ListObjectsV2",), times=1),)
    report = house.run()
    assert events(house) == [f"e{number}" for number in range(1, 1 + len(names))]
    [problem] = report.problems
    assert report.status == "partial" and problem.uri == f"{house.landing}/{name}"
    assert repr(f"landing/{name}") in problem.why and problem.advice == "Rename it."
    assert bucket.keys("landing/") in (["landing/m/", f"landing/{name}"], [f"landing/{name}", "landing/m/"])
    bucket.client.delete_object(Bucket=bucket.name, Key=f"landing/{name}")
    assert house.run().idle
