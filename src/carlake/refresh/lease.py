"""An advisory lease on a table, so that a long writer is not refused for ever by short ones.

Only progress rests on it, never exactness: the commit's compare-and-swap holds with and without it. The lease is a file
lock, so it ends with the process that has it, however that ends.
"""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

REFUSALS_BEFORE_LEASE = 3
MOST_REFUSALS = 200
_LONGEST_WAIT_SECONDS = 30.0


class Turn:
    """One writer at one table: it lets the holder of the lease go first, and takes the lease when refused too often.

    refusals  how often its commits were refused so far
    """

    def __init__(self, folder: Path, table: str) -> None:
        self.refusals = 0
        self._folder = folder
        self._table = table
        self._held = ExitStack()

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def wait(self) -> None:
        """Wait while another writer has the lease."""
        if self.refusals < REFUSALS_BEFORE_LEASE:
            await_lease(self._folder, self._table)

    def again(self) -> bool:
        """After a refusal: whether to try once more, at once with the lease or after a moment without; else give up."""
        self.refusals += 1
        time.sleep(random.uniform(0, 0.02 * min(self.refusals, 10)))  # noqa: S311  (jitter)
        if self.refusals == REFUSALS_BEFORE_LEASE:
            self._held.enter_context(lease(self._folder, self._table))
        return self.refusals < MOST_REFUSALS


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
