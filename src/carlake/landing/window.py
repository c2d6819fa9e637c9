"""A window that slides over a source of bytes: one reused buffer, filled where it is read to its end."""

from __future__ import annotations

from carlake.landing.compression import Source

FIRST_BYTES = 64 << 10


class Window:
    """The unread bytes are `buffer[position:end]`; `offset` is where `buffer[0]` lies in the source.

    `chunk_bytes` is the least that a full read takes; the first read is small, so that small objects cost little.
    """

    def __init__(self, source: Source, chunk_bytes: int) -> None:
        self._source = source
        self._chunk = chunk_bytes
        self.buffer = bytearray(min(FIRST_BYTES, chunk_bytes))
        self.view = memoryview(self.buffer)
        self.position = self.end = self.offset = 0
        self.ended = False

    def fill(self) -> bool:
        """Read more behind the unread bytes, which move to the front; False at the end of the source."""
        if self.ended:
            return False
        unread = self.end - self.position
        if self.position:
            self.offset += self.position
            if unread:
                self.view[:unread] = bytes(self.view[self.position : self.end])
            self.position, self.end = 0, unread
        if 2 * unread > len(self.buffer) or (self.offset and len(self.buffer) < self._chunk):
            grown = bytearray(max(2 * len(self.buffer), min(self._chunk, 8 * len(self.buffer))))
            grown[:unread] = self.view[:unread]
            self.buffer, self.view = grown, memoryview(grown)
        read = False
        while self.end < len(self.buffer):
            count = self._source.readinto(self.view[self.end :]) or 0
            if not count:
                self.ended = True
                break
            self.end += count
            read = True
        return read

    def take(self, start: int, end: int) -> bytes:
        """A copy of `buffer[start:end]`."""
        return bytes(self.view[start:end])

    def find(self, needle: bytes, start: int) -> int:
        """The position of `needle` in the buffered bytes from `start`, else -1."""
        return self.buffer.find(needle, start, self.end)
