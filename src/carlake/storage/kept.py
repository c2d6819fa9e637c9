"""Contents of small files that never change, kept in memory: to read one again costs a round trip."""

from __future__ import annotations

import threading
from collections import OrderedDict

_BYTES = 32 << 20
_LARGEST = 2 << 20


class KeptContents:
    """The newest of them, up to some size in all. For several threads at once."""

    def __init__(self) -> None:
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> bytes | None:
        """What is kept of a file; None where it is not."""
        with self._lock:
            if path in self._contents:
                self._contents.move_to_end(path)
            return self._contents.get(path)

    def put(self, path: str, content: bytes) -> None:
        """Keep a content, unless it is large."""
        if len(content) > _LARGEST:
            return
        with self._lock:
            self._size += len(content) - len(self._contents.pop(path, b""))
            self._contents[path] = content
            while self._size > _BYTES:
                self._size -= len(self._contents.popitem(last=False)[1])

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._contents.clear()
            self._size = 0
