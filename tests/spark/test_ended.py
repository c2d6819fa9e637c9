"""Spark's virtual machine ends by itself (killed, out of memory): the next session starts another in the same process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from carlake import lake as lakes

# In a process of its own, for the other tests share one context.
_PROCESS = """
import os, signal, subprocess, sys
from carlake import lake
from carlake.engines.spark.session import close_session, open_session
from spark.sessions import spark_settings

def machine():
    own = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [int(line.split()[0]) for line in own.stdout.splitlines() if line.split()[1] == "java"]

lake, settings = lake.open(sys.argv[1]), spark_settings()
session = open_session(settings, lake)
[first] = machine()
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
close_session(session)  # as `watch` does after a run that failed
again = open_session(settings, lake)
assert again.sql("SELECT 41 + 1 AS n").collect()[0].n == 42
assert machine() != [first]
close_session(again)
"""


def test_another_machine_is_started_for_one_that_was_killed(small_folder: Path) -> None:
    lake = lakes.create(small_folder / "lake")
    words = [sys.executable, "-c", _PROCESS, str(lake.root)]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=Path(__file__).parents[1], timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
