"""The function in its real runtime: the built package alone, AWS's runtime client, a read-only file system, its memory."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from aws.account import Template
from aws.live import Live, live
from lakes import nested
from servers.function import Package
from servers.lambda_runtime import EXITED, TIMED_OUT
from servers.sandbox import TASK, Sandbox
from servers.shared import Servers


@pytest.fixture
def intake(package: Package, templates: dict[str, Template], servers: Servers, small_folder: Path) -> Iterator[Live]:
    with live(package, templates, servers.moto, servers.s3, small_folder / "function") as found:
        yield found


def event(car: str, number: int) -> str:
    at = f"2025-10-01T10:{number:02}:00Z"
    return nested(car, f"{car}-{number}", at, at, current_mileage_km=1000.0 + number, manufacturer="Ford")


def silver(intake: Live) -> int:
    return int(intake.ask("SELECT count(*) AS n FROM silver_car_telemetry")[0]["n"])


def test_killed_in_the_middle_out_of_time_twice_and_out_of_order(intake: Live, package: Package) -> None:
    intake.put("2.ndjson", event("A", 2), event("B", 2))
    first = intake.call()
    assert (first.error, first.payload) == ("", {"batchItemFailures": []}), intake.function.said()
    assert first.init_seconds > 0 and intake.cars() == [("A", 1002.0), ("B", 1002.0)]
    assert intake.code().endswith(f"+{package.code}")

    # Killed once bronze has the object, and silver does not.
    intake.put("again/2.ndjson", event("A", 2), event("B", 2))
    intake.put("3.ndjson", event("A", 3))
    met = intake.at_commit(2, intake.function.kill)
    assert intake.call().error == EXITED and len(met) == 2
    assert silver(intake) == 2
    again = intake.call()
    assert (again.error, again.payload) == ("", {"batchItemFailures": []}) and again.init_seconds > 0
    assert intake.cars() == [("A", 1003.0), ("B", 1002.0)] and silver(intake) == 3

    # Its time is over while a commit is on its way; what comes late lies before what is there.
    intake.put("1.ndjson", event("A", 1), event("B", 1), event("C", 1))
    intake.at_commit(2, intake.function.wait_until_ended)
    assert intake.call(seconds=8.0).error == TIMED_OUT
    assert intake.call().payload == {"batchItemFailures": []}
    assert intake.cars() == [("A", 1003.0), ("B", 1002.0), ("C", 1001.0)] and silver(intake) == 6
    assert intake.function.starts == 3 and intake.account.count(intake.account.queue_url) == 0
    assert not intake.ask("SELECT source_id FROM bronze_car_data GROUP BY source_id, source_row HAVING count(*) > 1")


def test_killed_at_every_commit_the_tables_are_exact(intake: Live) -> None:
    """Killed before the first commit, between any two, and before the last: what was told is told again, and counts once."""
    intake.put("0.ndjson", event("A", 0))
    assert intake.call().error == ""
    commits = intake.at_commit(0, lambda: None)
    intake.put("1.ndjson", event("A", 1), "no record", event("B", 1))
    assert intake.call().error == ""
    assert len(commits) >= 5, "bronze, silver, quarantine and gold"
    for number in range(1, len(commits) + 1):
        intake.put(f"{number + 1}.ndjson", event("A", number + 1), "no record", event("B", 1), event(f"C{number}", 1))
        intake.put(f"again/{number}.ndjson", event("A", 0))
        met = intake.at_commit(number, intake.function.kill)
        assert intake.call().error == EXITED and len(met) == number
        intake.account.proxy.before = None
        assert intake.call().payload == {"batchItemFailures": []}
        assert silver(intake) == 3 + 2 * number
        cars = [("A", 1001.0 + number), ("B", 1001.0), *sorted((f"C{each}", 1001.0) for each in range(1, number + 1))]
        assert intake.cars() == cars
    assert intake.account.count(intake.account.queue_url) == 0
    assert not intake.ask("SELECT source_id FROM bronze_car_data GROUP BY source_id, source_row HAVING count(*) > 1")
    with intake.house() as house:
        assert house.verify().problems == ()


def test_every_duty_and_every_form_of_object(
    package: Package, templates: dict[str, Template], servers: Servers, tmp_path: Path
) -> None:
    """Nothing that was left out of the package is missed: upkeep, and what each form of object is read with."""
    text = "\n".join(event(car, 1) for car in "AB").encode()
    rows = pa.table({"carChassis": ["D"], "telemetryTimestamp": ["2025-10-01T10:01:00Z"], "currentMileageKm": [1001.0]})
    pq.write_table(rows, tmp_path / "d.parquet")
    objects = {
        "a.ndjson.zst": zstandard.compress(text),
        "b.ndjson.gz": gzip.compress(event("C", 1).encode()),
        "d.parquet": (tmp_path / "d.parquet").read_bytes(),
        "e.csv": b"carChassis,telemetryTimestamp,currentMileageKm\nE,2025-10-01T10:01:00Z,1001\n",
    }
    with live(package, templates, servers.moto, servers.s3, tmp_path / "function", "maintenance") as found:
        bucket = found.account.names.bucket("landing")
        for name, body in objects.items():
            found.store.client().put_object(Bucket=bucket, Key=f"in/{name}", Body=body)
        answers = {duty: found.function.invoke({"duty": duty}) for duty in ("list", "refresh", "maintain")}
        assert [answer.error for answer in answers.values()] == ["", "", ""], found.function.said()
        assert answers["list"].payload == {"duty": "list", "found": len(objects), "left": 0, "unreadable": 0}
        assert answers["refresh"].payload == {"duty": "refresh", "status": "succeeded"}
        assert [one for one in answers["maintain"].payload["done"] if one["error"]] == []
        assert found.function.starts == 1
        assert [car for car, _ in found.cars()] == ["A", "B", "C", "D", "E"]
        assert (
            "ModuleNotFoundError" not in found.function.log.read_text() and "ImportError" not in found.function.said()
        )
        with found.house() as house:
            assert house.verify().problems == ()


def test_the_package_makes_pseudonyms_by_the_key_of_a_secret(
    package: Package, templates: dict[str, Template], servers: Servers, small_folder: Path
) -> None:
    with live(package, templates, servers.moto, servers.s3, small_folder / "function", key="4f" * 32) as found:
        found.put("1.ndjson", event("A-PERSON", 1), '{"broken": A-PERSON')
        answer = found.call()
        assert (answer.error, answer.payload) == ("", {"batchItemFailures": []}), found.function.said()
        ((car, km),) = found.cars()
        assert km == 1001.0 and car.startswith("p_")
        assert not [row for row in found.ask("SELECT raw FROM bronze_car_data") if "A-PERSON" in str(row["raw"])]


PROBE = """
import os, sys
found = {}
for folder in ("/", "/tmp", "/var/task", "/var/runtime", "/usr", "/etc", "/dev", "/home", "/root"):
    try:
        with open(f"{folder}/probe-{os.getpid()}", "wb") as file:
            file.write(b"1")
        print("wrote", folder)
    except OSError as error:
        print("refused", folder)
print("path", *sys.path)
try:
    held = bytearray(%d << 20)
    print("memory: all")
except MemoryError:
    print("memory: refused")
"""


def test_the_sandbox_can_be_written_in_tmp_alone_and_its_memory_ends(tmp_path: Path) -> None:
    for name in ("root", "tmp", "task", "runtime"):
        (tmp_path / name).mkdir()
    sandbox = Sandbox(tmp_path / "root", tmp_path / "tmp", tmp_path / "task", tmp_path / "runtime", 512)

    def said(megabytes: int) -> list[str]:
        command = sandbox.command(["-S", "-s", "-c", PROBE % megabytes], {"PYTHONPATH": TASK})
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    *wrote, path, memory = said(1024)
    assert [line for line in wrote if not line.startswith("refused")] == ["wrote /tmp"]
    assert len(wrote) == 9
    assert not [part for part in path.split() if "site-packages" in part or "src" in part], "nothing installed is seen"
    assert memory == "memory: refused"
    assert said(64)[-1] == "memory: all"
    assert list((tmp_path / "root").iterdir()) == [] and list((tmp_path / "task").iterdir()) == []
