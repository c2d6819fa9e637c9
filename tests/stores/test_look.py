"""What looks at a lake looks into its stores, and says which does not answer, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from carlake.lakehouse import Lakehouse
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.inspection.lake import Inspection
from carlake.watch.loop import Watch
from lakes import NOON, nested, rows_of
from servers.faults import Fault, Proxy
from stores.bucket import Bucket

Open = Callable[..., Lakehouse]

ONE, TWO = (nested("CAR1", f"e{n}", f"2025-10-0{n}T08:00:00Z") for n in (1, 2))


def findings(house: Lakehouse) -> dict[str, list[str]]:
    """What doctor finds, by check: where it is."""
    found = diagnose(Inspection(house.lake.root, house.settings, now=house.clock()))
    places: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.check == "clock":
            continue  # the lake's is that of the test
        places.setdefault(finding.check, []).append(finding.where)
    return places


def test_doctor_tries_what_runs_do(bucket: Bucket, plain: Bucket, lake: Open, proxy: Proxy) -> None:
    bucket.put("landing/a.json", ONE)
    house = lake(bucket, archive=f"{plain.uri}/archive")
    house.run()
    assert findings(house) == {}
    assert bucket.versions() == [] and [key for key in plain.keys("") if "try" in key] == []
    proxy.faults = (Fault("status", operations=("PutObject",), status=403),)
    assert findings(house) == {"permission": [house.landing, house.archive]}


def test_doctor_sees_what_the_archive_has_and_bronze_has_not(bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/a.json", ONE)
    house = lake(bucket)
    house.run()
    key = f"archive/2025-11-01/{'0' * 64}/b.json"
    bucket.put(key, TWO)
    assert findings(house) == {"archive-ahead": [f"{bucket.uri}/{key}"]}
    assert [problem.kind for problem in house.verify().problems] == ["archived object missing"]


def test_lost_rows_come_back_from_the_archive(bucket: Bucket, lake: Open) -> None:
    for name, record in (("a", ONE), ("b", TWO)):
        bucket.put(f"landing/{name}.json", record)
    house = lake(bucket)
    house.run()
    before = rows_of(house, "silver_car_telemetry")
    for path in (house.lake.warehouse / "carlake" / "bronze_car_data" / "data").rglob("*.parquet"):
        path.unlink()
    root, settings = house.lake.root, house.settings
    house.close()
    done = Lakehouse.recover(root, settings, clock=lambda: NOON)
    assert done.lost == () and [each.what.split()[:2] for each in done.damaged] == [["data", "file"]] * len(
        done.damaged
    )
    again = lake(bucket)
    assert rows_of(again, "silver_car_telemetry") == before and again.verify().problems == ()


def test_retention_of_the_archive(bucket: Bucket, lake: Open) -> None:
    bucket.put("landing/a.json", ONE)
    house = lake(bucket, archive_retention_days=30)
    house.run()
    house.close()
    house = lake(bucket, archive_retention_days=30, clock=lambda: NOON + timedelta(days=40))
    assert [done.files for done in house.maintain().done if done.task == "retain archive"] == [1]
    assert bucket.versions() == []


def test_watch_takes_what_arrives_and_lists_no_more_than_it_is_told(bucket: Bucket, lake: Open, proxy: Proxy) -> None:
    ids = [f"e{n}" for n in range(5)]
    for n, event in enumerate(ids):
        bucket.put(f"landing/{event}.json", nested("CAR1", event, f"2025-10-0{n + 1}T08:00:00Z"))
    house = lake(bucket)
    proxy.faults, proxy.seed = (Fault("cut_body", 0.2), Fault("status", 0.1, status=503)), 5
    watched = Watch(house, until_idle=True, list_seconds=0.2).run()
    assert watched.reason == "idle" and watched.well
    assert [row["event_id"] for row in rows_of(house, "silver_car_telemetry")] == ids
    assert bucket.versions("landing/") == []
