"""gzip (RFC 1952, many members) and zstd (RFC 8878, many frames) streams, recognised by their magic numbers.

A stream is verified to its end before a record of it is given out: a checksum that fails says nothing about where the
damage lies, so no record of a corrupt stream can be trusted. A stream that only ends too early is whole up to there.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import zstandard

from carlake.errors import ReadError

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAGIC = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # the last: a skippable zstd frame

PIECE_BYTES = 1 << 20
"""Most bytes that one step of decompression gives out; keeps a bomb from filling memory."""
KEPT_BYTES = 8 << 20
"""Streams that unpack to no more than this are unpacked once and kept."""
_GZIP_READ = 1 << 16
_ZSTD_READ = 1 << 10  # zstd has no output limit: 1 KiB of input unpacks to 32 MiB at the very most


class StreamError(Exception):
    """A compressed stream cannot be unpacked to its end."""


class TruncatedStreamError(StreamError):
    """The stream ends too early; what was unpacked before is good."""


class CorruptStreamError(StreamError):
    """The stream is damaged; nothing in it can be trusted."""


class Source(Protocol):
    """Bytes to read in order; 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


def is_compressed(head: bytes) -> bool:
    """True where `head` begins as a gzip or zstd stream does."""
    return _MAGIC.match(head) is not None


def unpack(stream: BinaryIO) -> Iterator[bytes]:
    """The unpacked bytes of a gzip or zstd stream, in pieces; raises StreamError where it cannot go on."""
    magic = stream.read(2)
    stream.seek(-len(magic), io.SEEK_CUR)
    return _gunzip(stream) if magic == GZIP_MAGIC else _unzstd(stream)


def _gunzip(stream: BinaryIO) -> Iterator[bytes]:
    decoder, data, within = zlib.decompressobj(31), b"", False
    while True:
        if not data:
            data = stream.read(_GZIP_READ)
        ended = not data
        if not within:
            data = data.lstrip(b"\0")  # padding between members, as tar and tape write it
            if not data:
                if ended:
                    return
                continue
            within = True
        try:
            piece = decoder.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise CorruptStreamError(f"gzip stream is corrupt: {str(error).rpartition(': ')[2]}") from None
        if piece:
            yield piece
        if decoder.eof:
            decoder, data, within = zlib.decompressobj(31), decoder.unused_data, False
        elif ended and not piece:
            raise TruncatedStreamError("gzip stream is truncated: it ends too early")
        else:
            data = decoder.unconsumed_tail


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    factory = zstandard.ZstdDecompressor()
    decoder, data, within = factory.decompressobj(), b"", False
    while True:
        data = data or stream.read(_ZSTD_READ)
        if not data:
            if within:
                raise TruncatedStreamError("zstd stream is truncated: it ends too early")
            return
        try:
            piece = decoder.decompress(data)
        except zstandard.ZstdError as error:
            raise CorruptStreamError(f"zstd stream is corrupt: {str(error).rpartition(': ')[2]}") from None
        within, data = not decoder.eof, b""
        if decoder.eof:
            data, decoder = decoder.unused_data, factory.decompressobj()
        if piece:
            yield piece


def flaw(data: bytes) -> str:
    """What is wrong with a compressed stream that was kept as a record."""
    try:
        for _ in unpack(io.BytesIO(data)):
            pass
    except StreamError as error:
        return str(error)
    return "a compressed stream within a compressed stream is not read"


class Unpacked:
    """A compressed stream as a Source, verified to its end before the first byte is given out.

    `flaw` says how a truncated stream is truncated, else ''. Raises CorruptStreamError where the stream is damaged.
    """

    def __init__(self, stream: BinaryIO) -> None:
        start = stream.tell()
        kept: list[bytes] | None = []
        size, self.flaw = 0, ""
        try:
            for piece in unpack(stream):
                size += len(piece)
                if size > KEPT_BYTES:
                    kept = None
                elif kept is not None:
                    kept.append(piece)
        except TruncatedStreamError as error:
            self.flaw = str(error)
        self._left = memoryview(b"")
        if kept is None:
            stream.seek(start)
            self._pieces = unpack(stream)
        else:
            self._pieces = iter(kept)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the front of `buffer`; 0 at the end of what could be unpacked."""
        while not self._left:
            try:
                self._left = memoryview(next(self._pieces))
            except (StopIteration, TruncatedStreamError):
                return 0
            except CorruptStreamError as error:
                raise ReadError(f"a landed object changed while it was read: {error}", "It is tried again.") from None
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
