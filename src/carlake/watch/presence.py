"""Which processes watch a lake, and how one asks another to stop.

Each has a file in `.carlake/watch/`, locked for as long as the process lives: a lock that can be had tells that the process
is gone, however it ended, and no number of a process that was given to another can be mistaken for it. A request to stop
is a file beside it, so that it works between containers and users too, and can hit no stranger.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from carlake.lake import Lake

_LOOK_SECONDS = 0.1
_STOP = ".stop"


@dataclass(frozen=True)
class Watching:
    """A process that watches a lake.

    pid, host  where it runs; http: where it answers, "" if nowhere
    """

    pid: int
    host: str
    started_at: str
    http: str
    file: Path


class Presence:
    """Says that this process watches a lake. Use it as a context manager.

    asked  called once another process asked this one to stop
    """

    def __init__(self, lake: Lake, asked: Callable[[], None]) -> None:
        self._folder = folder(lake)
        self._asked = asked
        self._ended = threading.Event()
        self._file: IO[str] | None = None
        self._path: Path | None = None
        self._own: dict[str, object] = {}

    def __enter__(self) -> Presence:
        with suppress(OSError):  # a lake that may not be written has larger worries than this
            self._folder.mkdir(parents=True, exist_ok=True)
            watching(self._folder)  # sweeps what others left
            self._appear()
        threading.Thread(target=self._listen, name="carlake-stop", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._path is not None and self._file is not None:
            for path in (self._path, _stop_file(self._path)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            self._file.close()

    def answers_at(self, url: str) -> None:
        """Say where this process answers over HTTP."""
        with suppress(OSError):
            self._write(http=url)

    def _write(self, **more: str) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            json.dump({**self._own, **more}, self._file)
            self._file.flush()

    def _appear(self) -> None:
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        unfinished = path.with_suffix(".new")
        file = unfinished.open("x", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._own = {"pid": os.getpid(), "host": socket.gethostname(), "started_at": started}
        self._file = file
        self._write()
        unfinished.rename(path)  # only now it has its name, for without the lock it would be swept
        self._path = path

    def _listen(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if self._path is not None and _stop_file(self._path).exists():
                self._asked()
                return


def folder(lake: Lake) -> Path:
    """Where the processes that watch a lake say so."""
    return lake.scratch.parent / "watch"


def watching(where: Path) -> list[Watching]:
    """The live processes, longest first; what dead ones left is removed where that may be done."""
    found = []
    for path in sorted(where.glob("*.json")) if where.is_dir() else ():
        if not _alive(path):
            for left in (path, _stop_file(path)):
                with suppress(OSError):
                    left.unlink(missing_ok=True)
            continue
        values: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            values = json.loads(path.read_text(encoding="utf-8"))
        texts = {name: str(values.get(name, "")) for name in ("host", "started_at", "http")}
        found.append(Watching(pid=int(values.get("pid", 0)), file=path, **texts))
    return sorted(found, key=lambda each: each.started_at)


def stop(lake: Lake, timeout_seconds: float = 60.0) -> tuple[list[Watching], list[Watching]]:
    """Ask every process that watches the lake to stop, and wait until they ended.

    Gives those that ended and those that still run after the time. Raises OSError where they cannot be asked.
    """
    asked = watching(folder(lake))
    for each in asked:
        _stop_file(each.file).touch()
    until = time.monotonic() + timeout_seconds
    left = asked
    while left and time.monotonic() < until:
        left = [each for each in left if _alive(each.file)]
        if left:
            time.sleep(0.02)
    return [each for each in asked if each not in left], left


def _alive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def _stop_file(path: Path) -> Path:
    return path.with_suffix(_STOP)
