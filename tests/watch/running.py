"""A watch that runs while a test looks at its lake from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.watch.loop import Watch, Watched
from lakes import lakehouse, nested

COMMAND = (sys.executable, "-c", "import sys; sys.argv[0] = 'carlake'\nfrom carlake.cli.main import main; main()")
LONGEST_SECONDS = 90.0


class Running:
    """A watch in a thread of its own, with a view of the lake beside it.

    lines  what it wrote to the log so far
    """

    def __init__(self, folder: Path, settings: Settings, prepare: Callable[[Watch], None], **options: Any) -> None:
        self.lines: list[Any] = []
        self.house = lakehouse(folder, settings)
        self.watch: Watch
        self.watched: Watched | None = None
        self._error: BaseException | None = None
        self._made = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(folder, settings, prepare, options))

    def _run(self, folder: Path, settings: Settings, prepare: Callable[[Watch], None], options: dict[str, Any]) -> None:
        try:
            # An engine is for one thread alone, so that this lake is opened here.
            with lakehouse(folder, settings) as house:
                house.journal.also = self.lines.append
                self.watch = Watch(house, **options)
                prepare(self.watch)
                self._made.set()
                self.watched = self.watch.run()
        except BaseException as error:  # noqa: BLE001  (told in the test's own thread)
            self._error = error
        finally:
            self._made.set()

    def start(self) -> None:
        self._thread.start()
        self._made.wait()

    def end(self) -> None:
        """Stop it and see that it ended well."""
        if not self._error:
            self.watch.stop("the test is done")
        self._thread.join(LONGEST_SECONDS)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def join(self) -> Watched:
        """Wait until it ends by itself."""
        self._thread.join(LONGEST_SECONDS)
        assert self.watched is not None, self._error
        return self.watched

    def events(self, event: str) -> list[Any]:
        """The lines of one kind that it wrote."""
        return [line for line in self.lines if line["event"] == event]

    def land(self, name: str, *records: str) -> Path:
        """An object renamed into landing."""
        return land(self.house, name, *records)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for what the watch does in its own time."""
        wait_until(true, lambda: "\n".join(map(str, self.lines[-6:])))

    def until_landed(self, *, files: int) -> None:
        """Wait until so many files were taken in and landing is empty."""
        self.until(lambda: self.watch.figures.files >= files)
        self.until(lambda: not landing(self.house))


@contextmanager
def watching(
    folder: Path,
    settings: Settings | None = None,
    prepare: Callable[[Watch], None] = lambda watch: None,
    **options: Any,
) -> Iterator[Running]:
    """Watch a lake, made if it is not there, while the block runs."""
    running = Running(folder, settings or Settings(threads=1), prepare, **options)
    with running.house:
        running.start()
        try:
            yield running
        finally:
            running.end()


@contextmanager
def process(*words: object, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command as a process of its own; killed if it is still there at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARLAKE_")}
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | (env or {}),
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def until_line(stream: IO[str] | None, event: str) -> dict[str, Any]:
    """Read a log up to a line of this event."""
    assert stream is not None
    for text in stream:
        line: dict[str, Any] = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"the log ended without {event!r}")


def land(house: Lakehouse, name: str, *records: str) -> Path:
    """An object renamed into landing."""
    aside = house.lake.scratch / f"aside-{name.replace('/', '-')}"
    aside.write_text("\n".join(records))
    path = house.lake.landing / name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.rename(path)
    return path


def event(number: int) -> str:
    """A good record, other for each number."""
    at = f"2025-10-{1 + number % 28:02}T{number // 28 % 24:02}:{number // 672 % 60:02}:00Z"
    return nested(f"CAR{number % 7}", f"e{number}", at, trip_distance_km=number % 50, engine_temp_celsius=120)


def landing(house: Lakehouse) -> list[str]:
    """The files that lie in landing."""
    return sorted(path.name for path in house.lake.landing.rglob("*") if path.is_file())


def wait_until(true: Callable[[], bool], otherwise: Callable[[], object] = lambda: "") -> None:
    """Wait for what a watch does in its own time."""
    until = time.monotonic() + LONGEST_SECONDS
    while not true():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.01)


def all_once(house: Lakehouse, numbers: Sequence[int], quarantined: int = 0, pending: int = 0) -> None:
    """Silver has each event once, nothing is amiss, and no table is behind."""
    rows = house.query("SELECT event_id FROM silver_car_telemetry ORDER BY ALL")["event_id"].to_pylist()
    assert rows == sorted(f"e{number}" for number in numbers)
    alerts = house.query("SELECT event_id FROM gold_performance_alerts_log ORDER BY ALL")["event_id"].to_pylist()
    assert alerts == rows
    verified = house.verify()
    assert (verified.problems, verified.behind, verified.pending) == ((), (), pending)
    assert (verified.accepted, verified.quarantined) == (len(numbers), quarantined)
