"""One lake, both engines: Spark takes in a backlog while a `watch` takes in a trickle, and is killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from carlake.settings import Settings
from carlake.watch.loop import Watch
from crashes.matrix import a_minute_passes
from crashes.operations import problems
from crashes.processes import finish, killed, start
from lakes import MODIFIED, Landed, differences, heads, iceberg, lakehouse, nested, put
from spark.sessions import spark_settings

ROOT = Path(__file__).parents[2]
_BEGUN = "begun"
_LONGEST_SECONDS = 240
_EMBEDDED = Settings(threads=1, list_seconds=0.3, max_latency_seconds=0.05)


@dataclass
class Outcome:
    """What came of it.

    kills     Spark runs that were ended by SIGKILL
    ended     Spark runs that had ended before
    trickle   objects that the watch took in meanwhile
    problems  what was wrong in the end
    """

    kills: int = 0
    ended: int = 0
    trickle: int = 0
    problems: list[str] = field(default_factory=list)


def backfill(lake: Path, backlog: Path) -> int:
    """In a process of its own: one run on Spark. Says when it begins."""
    with lakehouse(lake, spark_settings()) as house:
        house.engine_for("run").spark  # type: ignore[attr-defined]  # noqa: B018
        print(_BEGUN, flush=True)
        return 0 if house.run([str(backlog)]).status == "succeeded" else 1


def watching(lake: str) -> None:
    """In a child: watch the lake on the embedded engine."""
    with lakehouse(Path(lake), _EMBEDDED) as house:
        Watch(house, until_idle=False).run()


def kill_spark(folder: Path, kills: int, seed: int = 0, longest_seconds: float = 20.0) -> Outcome:
    """Kill so many Spark runs over one backlog while a watch goes on; the embedded engine finishes, and all is compared."""
    random_ = random.Random(seed)
    outcome, lake, backlog = Outcome(), folder / "lake", folder / "backlog"
    landed: list[Landed] = []
    for number in range(40):
        texts = [_event(random_, number, at) for at in range(6)]
        put(backlog / f"{number:03d}.ndjson", *texts)
        landed += [(text, MODIFIED) for text in texts]
    with lakehouse(lake, _EMBEDDED) as house:
        landing = house.lake.landing
    watcher = start(watching, str(lake))
    try:
        while outcome.kills < kills:
            job = _started(lake, backlog)
            family = _family(job.pid)
            until = time.monotonic() + random_.uniform(0.0, longest_seconds)
            while time.monotonic() < until and job.poll() is None:
                text = _event(random_, 1000 + outcome.trickle, 0)
                put(folder / "aside" / "object", text).rename(landing / f"{outcome.trickle}.json")
                landed.append((text, MODIFIED))
                outcome.trickle += 1
                time.sleep(0.3)
            if job.poll() is None:
                os.kill(job.pid, signal.SIGKILL)
                outcome.kills += 1
            else:
                outcome.ended += 1
            job.wait()
            assert job.stdout is not None
            job.stdout.close()
            # Spark's virtual machine and its workers go by themselves once their driver is gone.
            outcome.problems += [f"process {pid} outlives its driver" for pid in _left(family)]
    finally:
        watcher.kill()
        died = not killed(finish(watcher))
    if died:
        outcome.problems.append("the watch had ended before")
    a_minute_passes(lake)
    with lakehouse(lake, _EMBEDDED) as house:
        outcome.problems += [f"{each.uri}: {each.why}" for each in house.run([str(backlog)]).problems]
        house.run()
        outcome.problems += problems(house)
        outcome.problems += differences(house, landed)
        branches = [
            ref
            for name in heads(house)
            for ref, of in iceberg(house, name).metadata.refs.items()
            if "branch" in of.snapshot_ref_type
        ]
        outcome.problems += [f"a branch {ref} is left" for ref in branches if ref != "main"]
    return outcome


def _event(random_: random.Random, number: int, at: int) -> str:
    return nested(
        f"car{random_.randrange(6)}", f"e{random_.randrange(200)}", f"2025-10-{random_.randrange(1, 29):02d}T00:00:00Z",
        f"2025-11-01T00:{number // 60 % 60:02d}:{number % 60:02d}.{at}Z", trip_distance_km=number + at / 8,
        engine_temp_celsius=random_.choice([90, 130]),
    )  # fmt: skip


def _started(lake: Path, backlog: Path) -> subprocess.Popen[str]:
    """A Spark run that has its session."""
    code = (
        "import sys; from pathlib import Path; from spark.kills import backfill; "
        "sys.exit(backfill(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", code, str(lake), str(backlog)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert job.stdout is not None
    assert job.stdout.readline().strip() == _BEGUN
    return job


def _family(pid: int) -> list[int]:
    """The processes that have come of one, without itself."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _left(pids: list[int]) -> list[int]:
    """Those of the processes that live on."""
    until = time.monotonic() + _LONGEST_SECONDS
    while (left := [pid for pid in pids if _lives(pid)]) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
