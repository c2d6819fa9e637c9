"""Of several watches of one lake, one takes a batch at a time; the others would only read the same files to be refused.

For thrift alone: exactness rests on the commits, and who has waited for a while goes on without the baton, so that a watch
that hangs or sleeps with it holds up nobody for long. It is a file lock, which ends with its process.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Baton:
    """The baton of one lake, as one watch reaches for it. Without the right to make the file, each has one of its own."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "baton"
        self._handle: int | None = None

    def take(self) -> bool:
        """Whether this watch has the baton now, rather than another."""
        if self._handle is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            return not isinstance(error, BlockingIOError)
        self._handle = handle
        return True

    def give_back(self) -> None:
        """Let another watch have it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)
