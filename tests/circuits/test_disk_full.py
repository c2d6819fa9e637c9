"""A full disk, at one write of a run after the other: what failed says so, nothing is half, the next run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lakes import BRONZE

TESTS = Path(__file__).parents[1]
_MOUNTED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


def on_a_small_disk(folder: Path) -> list[dict[str, Any]]:
    """Run `disk_full.py` on a file system of 24 MB of its own, which is gone when the process ends."""
    script = 'mount -t tmpfs -o size=24m tmpfs "$1" && exec "$2" "$3" "$1"'
    words = [*_MOUNTED, script, "sh", str(folder), sys.executable, str(TESTS / "circuits/disk_full.py")]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Error: The lake cannot be worked on: The disk is full: " in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def may_mount(folder: Path) -> bool:
    try:
        tried = subprocess.run(
            [*_MOUNTED, 'mount -t tmpfs tmpfs "$1"', "sh", str(folder)], capture_output=True, check=False
        )
    except OSError:
        return False
    return tried.returncode == 0


def test_a_disk_that_is_full_at_any_write_leaves_nothing_half(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("this user may not mount a small file system")
    *said, opening = on_a_small_disk(tmp_path)
    assert opening == {"free": 0, "opening": 1}
    assert [turn for turn in said if turn["wrong"]] == []
    for turn in said:
        assert all("The disk is full: " in error for error in turn["failed"].values()), turn
        # The files of a commit whose outcome the catalog does not tell are kept, others are in nobody's way.
        unclear = {name for name, error in turn["failed"].items() if "did not say whether" in error}
        assert {
            Path(file).relative_to(tmp_path / "lake/warehouse/carlake").parts[0] for file in turn["unnamed"]
        } <= unclear
        assert turn["status"] == (
            "failed" if BRONZE in turn["failed"] else "partial" if turn["failed"] else "succeeded"
        )
    # The disk was full before bronze, after it, and between other tables; and in the end it was large enough.
    failures = {tuple(turn["failed"]) for turn in said}
    assert (BRONZE,) in failures and len(failures) > 3, failures


def test_a_file_that_may_not_grow_stops_what_writes_it(tmp_path: Path) -> None:
    """The same for any user and file system: no file of this process may be longer than so (RLIMIT_FSIZE)."""
    script = """
import json, resource, signal, sys
from pathlib import Path
from circuits.disk_full import RECORDS, half_states, unnamed_files, whole
from lakes import held, lakehouse, put
with lakehouse(Path(sys.argv[1])) as house:
    put(house.lake.landing / "a.json", *RECORDS[:50])
    assert house.run().status == "succeeded"
    before = held(house)
    put(house.lake.landing / "b.json", *RECORDS[20:])
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    met = house.run()
    wrong = half_states(house, before) + unnamed_files(house)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = house.run()
    failed = {each.table: each.error for each in met.steps if each.status == "failed"}
    print(json.dumps([failed, wrong, after.status, held(house) == whole(), house.verify().ok, len(house.circuits())]))
"""
    stopped = set()
    for size in (9_000, 24_000):
        words = [sys.executable, "-c", script, str(tmp_path / f"lake-{size}"), str(size)]
        done = subprocess.run(
            words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False
        )
        assert done.returncode == 0, done.stderr
        failed, *rest = json.loads(done.stdout)
        assert rest == [[], "succeeded", True, True, 0], (size, failed, rest)
        assert failed and all("The disk is full: " in error for error in failed.values()), (size, failed)
        stopped.add(tuple(failed))
    assert len(stopped) == 2, stopped
