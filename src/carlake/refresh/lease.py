"""An advisory lease on a table, so that a long writer is not refused for ever by short ones.

Only progress rests on it, never exactness: the commit's compare-and-swap holds with and without it. The lease is a file
lock, so it ends with the process that has it, however that ends.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REFUSALS_BEFORE_LEASE = 3
_LONGEST_WAIT_SECONDS = 30.0


def await_lease(folder: Path, table: str, longest_seconds: float = _LONGEST_WAIT_SECONDS) -> None:
    """Wait while another writer has the table's lease, but no longer than `longest_seconds`."""
    path = folder / f"{table}.lease"
    if not path.exists():
        return
    with path.open("rb") as file:
        until = time.monotonic() + longest_seconds
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.02)


@contextmanager
def lease(folder: Path, table: str) -> Iterator[None]:
    """Hold the table's lease; waits for its holder, but no longer than a short writer would."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{table}.lease").open("ab") as file:
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
        yield
