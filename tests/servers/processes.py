"""Server processes of a test: started on a free port of 127.0.0.1, waited for, and ended by their id."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_START_SECONDS = 120
_STOP_SECONDS = 20
_SHOWN = 4000


class Process:
    """A running server: its process id, and the file that it writes its log to."""

    def __init__(self, name: str, running: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.log, self._running = name, log, running

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._running.poll() is None

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        self._running.kill()
        self._running.wait()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end; one that does not is killed."""
        if self.alive:
            self._running.send_signal(by)
            with suppress(subprocess.TimeoutExpired):
                self._running.wait(_STOP_SECONDS)
        if self.alive:
            self.kill()

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]


def start(
    name: str,
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    folder: Path | None = None,
) -> Process:
    """Start a server and wait until `ready()`. Raises RuntimeError with the end of its log if it ends or takes too long.

    `ready` is asked about this process alone if it looks at something that no other has: a file of its own, or the port
    once the process is known to be alive. Make it false, not an error, where the server does not answer yet.
    """
    rights: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with log.open("ab") as out:
        begun = subprocess.Popen(
            list(command),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,  # an interrupt of the terminal is for the tests, which then end it
            **rights,
        )
    process = Process(name, begun, log)
    until = time.monotonic() + _START_SECONDS
    while process.alive and time.monotonic() < until:
        if ready() and process.alive:
            return process
        time.sleep(0.02)
    took_too_long = process.alive
    process.stop()
    why = f"is not ready after {_START_SECONDS} s" if took_too_long else "ended"
    raise RuntimeError(f"{name} {why}; the end of its log:\n{process.said()}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
