"""Two processes take from one prefix, and one dies in the middle."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from pathlib import Path

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import NOON, nested, rows_of
from servers.faults import Proxy, Request
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]


def run_times(lake: str, settings: dict[str, object], times: int) -> None:
    """Run a lake in a process of its own; ends with 1 where a run was not whole."""
    with Lakehouse.open(Path(lake), Settings(**settings), lambda: NOON) as house:
        reports = [house.run() for _ in range(times)]
    raise SystemExit(int(any(report.status != "succeeded" for report in reports)))


def start(house: Lakehouse, options: dict[str, str], times: int) -> multiprocessing.process.BaseProcess:
    settings = {"landing": house.landing, "archive": house.archive, "store_properties": options, "threads": 1}
    process = multiprocessing.get_context("spawn").Process(
        target=run_times, args=(str(house.lake.root), settings, times)
    )
    process.start()
    return process


def fill(bucket: Bucket, first: int, number: int) -> list[str]:
    ids = [f"e{n:03}" for n in range(first, first + number)]
    for event in ids:
        # Two names for each: the second adds nothing.
        for name in (event, f"again-{event}"):
            bucket.put(f"landing/{name}.json", nested("CAR1", event, "2025-10-01T08:00:00Z"))
    return ids


def whole(house: Lakehouse, bucket: Bucket, ids: list[str]) -> None:
    assert sorted(row["event_id"] for row in rows_of(house, "silver_car_telemetry")) == ids
    assert len(rows_of(house, "bronze_car_data")) == len(ids)
    assert house.verify().problems == () and bucket.versions("landing/") == []
    assert len({key.split("/")[2] for key in bucket.keys("archive/")}) == len(ids)


def test_two_processes_take_from_one_prefix(bucket: Bucket, lake: Open, options: dict[str, str]) -> None:
    house = lake(bucket)
    ids = fill(bucket, 0, 30)
    workers = [start(house, options, 3) for _ in range(2)]
    ids += fill(bucket, 30, 20)
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    house.run()
    whole(house, bucket, ids)


def test_a_process_that_dies_while_it_archives(
    bucket: Bucket, lake: Open, options: dict[str, str], proxy: Proxy
) -> None:
    house = lake(bucket)
    ids = fill(bucket, 0, 10)
    met = {"PutObject": 0, "DeleteObject": 0}
    worker: list[multiprocessing.process.BaseProcess] = []

    def kill(request: Request) -> None:
        if request.operation in met and worker:
            met[request.operation] += 1
            if met[request.operation] == 4 and request.operation == "DeleteObject":
                # Only one thread may ask for how it ended: the second to ask would be told of no such process.
                worker[0].kill()
                multiprocessing.connection.wait([worker[0].sentinel])

    proxy.before = kill
    worker.append(start(house, options, 1))
    worker[0].join(120)
    proxy.before = None
    assert worker[0].exitcode == -9 and met["DeleteObject"] >= 4 and bucket.keys("landing/") != []
    assert house.run().status == "succeeded"
    whole(house, bucket, ids)
