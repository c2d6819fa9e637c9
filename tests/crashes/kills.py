"""`watch` under load, killed again and again at random moments; nothing of what was landed may be lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.maintenance.maintain import maintain_slice
from carlake.watch.loop import Watch
from crashes.matrix import a_minute_passes
from crashes.operations import problems
from crashes.processes import finish, killed, start
from lakes import MODIFIED, SILVER, Landed, differences, expected, flat, lakehouse, nested, put

# Everything that a watch does comes often: small histories, small files merged, old files removed.
_BUSY = Settings(
    threads=1,
    keep_snapshots=5,
    compact_files=3,
    keep_metadata_files=3,
    reader_grace_minutes=0,
    releases_kept=2,
    releases_days=0,
    list_seconds=0.3,
    max_latency_seconds=0.05,
)
_WATCHERS = 2


@dataclass
class Outcome:
    """What came of it.

    kills     processes that were ended by SIGKILL
    objects   objects that were landed, some of them twice under two names
    events    distinct events in them
    died      how processes ended that nobody had killed, by exit code: must be none
    problems  what was wrong in the end
    """

    kills: int = 0
    objects: int = 0
    events: int = 0
    seconds: float = 0.0
    died: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def watching(lake: str, until_idle: bool) -> None:
    """In a child: watch the lake, with maintenance between batches."""
    with lakehouse(Path(lake), _BUSY) as house:
        Watch(house, until_idle=until_idle, chores=lambda: _chores(house)).run()


def _chores(house: Lakehouse) -> bool:
    return bool(maintain_slice(house, 0.2).done)


def kill_often(folder: Path, kills: int, seed: int = 0, longest_seconds: float = 1.5) -> Outcome:
    """Land objects while two processes watch, and kill one of them at random moments, so many times.

    Each killed process is followed by another. In the end one more watches until nothing is left to do.
    """
    random_ = random.Random(seed)
    outcome, landed = Outcome(), list[Landed]()
    began = time.monotonic()
    with lakehouse(folder / "lake", _BUSY) as house:
        landing = house.lake.landing
    watchers = [start(watching, str(folder / "lake"), False) for _ in range(_WATCHERS)]
    try:
        while outcome.kills < kills:
            until = time.monotonic() + random_.uniform(0.2, longest_seconds)
            while time.monotonic() < until:
                _land(landing, folder, random_, landed, outcome)
                time.sleep(random_.uniform(0.005, 0.06))
            victim = random_.randrange(_WATCHERS)
            if watchers[victim].exitcode is None:
                os.kill(watchers[victim].pid, signal.SIGKILL)
            code = finish(watchers[victim])
            if killed(code):
                outcome.kills += 1
            else:
                outcome.died[code] += 1
            watchers[victim] = start(watching, str(folder / "lake"), False)
    finally:
        for process in watchers:
            process.kill()
            process.join()
    if (code := finish(start(watching, str(folder / "lake"), True), seconds=600)) != 0:
        outcome.problems.append(f"the last watch ended with {code}")
    outcome.seconds = time.monotonic() - began
    a_minute_passes(folder / "lake")
    with lakehouse(folder / "lake", _BUSY) as house:
        house.run()
        outcome.problems += problems(house)
        outcome.problems += differences(house, landed)
        archived = [path for path in house.lake.archive.rglob("*") if path.is_file()]
        if len({path.parent.name for path in archived}) != outcome.objects:
            outcome.problems.append(f"{len(archived)} objects in the archive, of {outcome.objects} contents")
        outcome.events = len(expected(landed)[SILVER])
    return outcome


def _land(landing: Path, folder: Path, random_: random.Random, landed: list[Landed], outcome: Outcome) -> None:
    """One object more, renamed into landing: a few records of few cars, corrections among them; now and then again."""
    number = len(landed)
    texts = [
        nested(
            f"car{random_.randrange(6)}", f"e{random_.randrange(400)}", f"2025-10-{random_.randrange(1, 29):02d}T00:00:00Z",
            f"2025-11-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z", trip_distance_km=number,
            engine_temp_celsius=random_.choice([90, 130]),
        ),
        flat(f"car{random_.randrange(6)}", f"2025-10-01T00:00:00.{number:06d}Z", current_mileage_km=number),
    ]  # fmt: skip
    modified = MODIFIED + timedelta(seconds=number)
    for again in range(2 if random_.random() < 0.1 else 1):
        written = put(folder / "aside" / "object", *texts, modified=modified)
        written.rename(landing / f"{number}-{again}.json")
    landed += [(text, modified) for text in texts]
    outcome.objects += 1
