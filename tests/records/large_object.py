"""A program of its own: split one large object that is never in memory as a whole, and print how memory grew.

Prints the number of records, of refused ones, the MiB of content, and the MiB by which the process's peak grew.
"""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from carlake.landing.records import split

OBJECT = b'{"id":"0123456789","values":[1,2,3],"pad":"' + b"x" * 1000 + b'"}'


class Repeated(io.RawIOBase):
    """A unit of bytes repeated up to a size, between a start and an end."""

    def __init__(self, start: bytes, unit: bytes, end: bytes, size: int) -> None:
        self._start, self._end = start, end
        self._unit, self._place = unit * max(1, (1 << 20) // len(unit)), 0
        self._size = len(start) + size // len(self._unit) * len(self._unit) + len(end)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        tail = self._size - len(self._end)
        if self._place < len(self._start):
            piece = memoryview(self._start)[self._place :]
        elif self._place < tail:
            piece = memoryview(self._unit)[(self._place - len(self._start)) % len(self._unit) :][: tail - self._place]
        else:
            piece = memoryview(self._end)[self._place - tail :]
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        self._place += count
        return count


def gzipped(unit: bytes, size: int) -> io.BytesIO:
    packer, source, pieces = zlib.compressobj(1, zlib.DEFLATED, 31), Repeated(b"", unit, b"", size), []
    buffer = memoryview(bytearray(1 << 20))
    while count := source.readinto(buffer):
        pieces.append(packer.compress(buffer[:count]))
    return io.BytesIO(b"".join(pieces) + packer.flush())


STREAMS: dict[str, Callable[[int], io.RawIOBase | io.BytesIO]] = {
    "lines": lambda size: Repeated(b"", OBJECT + b"\n", b"", size),
    "array": lambda size: Repeated(b"[", OBJECT + b",", OBJECT + b"]", size),
    "concatenated": lambda size: Repeated(b"", OBJECT, b"", size),
    "csv": lambda size: Repeated(b"a,b\n", b'1,"x ""y"""\n' + b"2," + b"y" * 900 + b"\n", b"", size),
    "blank": lambda size: Repeated(b"", b"  \n", b'{"a":1}', size),
    "one line": lambda size: Repeated(b'{"a":1}\n{"a":"', b"x", b'"}\n{"b":1}\n', size),
    "one element": lambda size: Repeated(b'[{"a":1},{"a":"', b"x", b'"},{"b":1}]', size),
    "one line of text": lambda size: Repeated(b"text ", b"x", b'\n{"a":1}', size),
    "noise": lambda size: Repeated(b"", bytes(range(256)), b"", size),
    "gzip": lambda size: gzipped(OBJECT + b"\n", size),
    "gzip bomb": lambda size: gzipped(b"x", size),
}


def peak() -> int:
    """The most memory that this process has held, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def measure(stream: BinaryIO) -> tuple[int, int, int, int]:
    list(split(io.BytesIO(OBJECT), max_record_bytes=1 << 24))
    before, records, refused, kept = peak(), 0, 0, 0
    for batch in split(stream, max_record_bytes=1 << 24):
        records += len(batch)
        refused += len(batch) - batch["reason"].null_count
        kept += batch["raw"].nbytes + batch["raw_bytes"].nbytes
    return records, refused, kept >> 20, peak() - before


if __name__ == "__main__":
    print(*measure(STREAMS[sys.argv[1]](int(sys.argv[2]) << 20)))  # type: ignore[arg-type]
