"""What was read of files that never change, kept in memory: to read one again costs a round trip."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sized
from typing import Generic, TypeVar

_T = TypeVar("_T", bound=Sized)


class Kept(Generic[_T]):
    """The contents that were asked for last, up to some size in all. For several threads at once.

    most          of all sizes (`len`) together
    largest       a content of more is not kept; None for no limit
    files         so many contents at the most; None for no limit
    idle_seconds  a content that was asked for within these stays, whatever the size: of what is large and used all the
                  time, all; of what is left behind, no more than `most`
    """

    def __init__(
        self, most: int, *, largest: int | None = None, files: int | None = None, idle_seconds: float = 0.0
    ) -> None:
        self._most, self._largest, self._files, self._idle_seconds = most, largest, files, idle_seconds
        self._size = 0
        self._found: OrderedDict[str, tuple[float, _T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> _T | None:
        """What is kept of a file; None where nothing is."""
        with self._lock:
            if path not in self._found:
                return None
            _, content = self._found.pop(path)
            self._found[path] = time.monotonic(), content
            return content

    def put(self, path: str, content: _T) -> None:
        """Keep what a file holds, unless it is too large."""
        if self._largest is not None and len(content) > self._largest:
            return
        now = time.monotonic()
        with self._lock:
            if path in self._found:
                self._drop(path)
            self._found[path] = now, content
            self._size += len(content)
            while self._too_many() or self._size > self._most:
                oldest, (used, _) = next(iter(self._found.items()))
                if now - used < self._idle_seconds and not self._too_many():
                    break
                self._drop(oldest)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._found.clear()
            self._size = 0

    def _too_many(self) -> bool:
        return self._files is not None and len(self._found) > self._files

    def _drop(self, path: str) -> None:
        _, content = self._found.pop(path)
        self._size -= len(content)
