"""A `carlake watch` and a reader beside it, each a process of its own, and the events that are landed for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from figures import BenchError, Figure, Of, Target
from inputs import Spec
from measure import script
from session import Bench

CARS = 50
FIRST = datetime(2025, 11, 1, tzinfo=UTC)
STOP_SECONDS = 60


@dataclass(frozen=True)
class Event:
    """One event that makes a row in each gold table: `trips` of its car are in its month once it is there."""

    name: str
    car: str
    at: datetime
    trips: int
    text: str

    @property
    def question(self) -> dict[str, Any]:
        """What the reader is asked."""
        return {"event": self.name, "car": self.car, "at": self.at.isoformat(), "trips": self.trips}


def events(bench: Bench, prefix: str) -> Iterator[Event]:
    """Events without end, of 50 cars in turn, each a second later than the one before."""
    source = bench.input(Spec(events=1, files=1, cars=10, follows=True))
    pattern = json.loads(source.paths[0].read_text(encoding="utf-8"))
    summary, telemetry = (
        pattern["trip_data"][block]["data"] for block in ("trip_summary", "vehicle_telemetry_snapshot")
    )
    summary.update(tripMileage=12.5, tripFuelLiters=1.25)
    telemetry.update(engineTempCelsius=140)
    number = 0
    while True:
        at = FIRST + timedelta(seconds=number)
        name, car = f"{prefix}-{number:07d}", f"{prefix.upper()}CAR{number % CARS:04d}"
        said = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        own = {"event_id": name, "carChassis": car, "event_primary_timestamp": said, "processing_timestamp": said}
        yield Event(name, car, at, number // CARS + 1, json.dumps({**pattern, **own}))
        number += 1


class Service:
    """A lake that is watched, and read from outside."""

    def __init__(self, lake: Path, watch: subprocess.Popen[bytes], reader: subprocess.Popen[str]) -> None:
        self.lake = lake
        self._watch = watch
        self._reader = reader
        self._drafts = lake / "drafts"
        self._drafts.mkdir(exist_ok=True)

    def land(self, event: Event) -> float:
        """Rename the event into landing; gives the moment."""
        draft = self._drafts / f"{event.name}.json"
        draft.write_text(event.text, encoding="utf-8")
        moment = time.monotonic()
        draft.rename(self.lake / "landing" / draft.name)
        return moment

    def ask(self, question: Mapping[str, Any]) -> None:
        """Ask the reader; it looks until it can answer."""
        assert self._reader.stdin is not None
        self._reader.stdin.write(json.dumps(question) + "\n")
        self._reader.stdin.flush()

    def answer(self) -> Any:
        """What the reader says to the oldest question. Raises BenchError where it has given up, or the watch is gone."""
        assert self._reader.stdout is not None
        line = self._reader.stdout.readline()
        if not line or self._watch.poll() is not None:
            raise BenchError(f"The watch or its reader ended: {self.said()[-2000:]}")
        return json.loads(line)

    def seconds_to_gold(self, event: Event) -> float:
        """Land one event and wait until all three gold tables have it."""
        self.ask(event.question)
        landed = self.land(event)
        return float(self.answer()["seen"]) - landed

    def holds(self) -> dict[str, int]:
        """Data files, snapshots and metadata bytes of the lake; the watch's memory and open file descriptors."""
        self.ask({"lake": True})
        held: dict[str, int] = self.answer()
        process = Path("/proc", str(self._watch.pid))
        if process.exists():
            status = (process / "status").read_text(encoding="ascii").splitlines()
            held["memory_bytes"] = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
            held["descriptors"] = sum(1 for _ in (process / "fd").iterdir())
        return held

    def cpu_seconds(self) -> float:
        """User and system time of the watch so far. Raises BenchError where the system does not tell."""
        try:
            told = Path("/proc", str(self._watch.pid), "stat").read_text(encoding="ascii")
        except OSError:
            raise BenchError("This system does not tell the CPU time of another process.") from None
        user, system = told.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def waiting(self) -> int:
        """Objects in landing."""
        return sum(1 for entry in os.scandir(self.lake / "landing") if not entry.name.startswith("."))

    def said(self) -> str:
        """What the processes wrote to standard error."""
        return (self.lake / "service.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def service(bench: Bench, lake: Path) -> Iterator[Service]:
    """Run a watch and a reader on a lake; at the end the watch has to stop cleanly."""
    carlake = str(Path(sys.executable).with_name("carlake"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CARLAKE_", "PYICEBERG_"))}
    environment["CARLAKE_THREADS"] = str(bench.threads)
    subprocess.run([carlake, "init", str(lake)], check=True, capture_output=True, env=environment)
    with (lake / "service.log").open("ab") as log:
        watch = subprocess.Popen(
            [carlake, "watch", "--lake", str(lake)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        reader = subprocess.Popen(
            script("reader.py", lake),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        running = Service(lake, watch, reader)
        try:
            yield running
            watch.send_signal(signal.SIGTERM)
            if watch.wait(STOP_SECONDS) not in (0, -signal.SIGTERM):
                raise BenchError(f"The watch ended with {watch.returncode}: {running.said()[-2000:]}")
        finally:
            for process in (watch, reader):
                process.kill()
                process.wait()


def quantile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies, one of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def seconds(what: str, value: float, most: float | None, ratio: float | None = None, of: Of = "seconds") -> Figure:
    """A figure of one number of seconds."""
    return Figure(what, seconds=value, ratio=ratio, target=None if most is None else Target(of, most))
