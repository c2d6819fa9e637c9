"""A search that finds a name wherever a lake may hold it: it decodes Parquet, Avro, gzip, zstd, JSON's escapes and
records that carlake has wrapped or encrypted.

Whether it can find anything is not believed but tried: see `carlake.upkeep.erasure.control`.
"""

from __future__ import annotations

import base64
import io
import json
import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from carlake.landing.compression import StreamError, is_compressed, unpack
from carlake.landing.defects import SEALED
from carlake.landing.forgotten import MARK, WRAPPED, readable, unescaped

Kind = Literal["name", "text", "escaped", "wrapped", "gzip", "zstd", "parquet value", "parquet statistics", "avro"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The places that a name can be in: a file's name; its bytes; its bytes as JSON escapes; a record that carlake wrapped or
encrypted in them; what is packed or encoded."""

_OWN = re.compile(re.escape(SEALED) + rb"[^}]*\}|" + re.escape(WRAPPED.encode()) + rb"(?P<base64>[0-9A-Za-z+/\\]*)")
_OVERLAP = 4096
_BEGINNINGS = tuple(MARK[:length].encode() for length in range(1, len(MARK)))
# Base64 of the longest record that landing keeps: what is longer is no record that carlake has written.
_LONGEST_OWN = 96 << 20
_ROWS = 8192
_WORD = "0-9A-Za-z"
_OWNER, _SOURCE = "car_chassis", "source_id"


@dataclass(frozen=True)
class Place:
    """Where the name was found.

    what    the column, or what else says more; `owner`, `source`: the car and the object of the row, where it has them
    """

    path: str
    kind: Kind
    what: str = ""
    owner: str | None = None
    source: str | None = None


class Needle:
    """Names to look for, in every form that they may be written in, each as whole words: `A1` is not found in `A12`."""

    def __init__(self, names: Iterable[str], opener: Callable[[bytes], bytes | None] | None = None) -> None:
        """`opener` gives what an encrypted record holds, where there is a key for it."""
        self.names = tuple(dict.fromkeys(names))
        self.opener = opener

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """Each name as text, as JSON text with and without escapes, and as part of a URI."""
        forms: dict[str, None] = {}
        for name in self.names:
            for escaped in (name, json.dumps(name, ensure_ascii=False)[1:-1], json.dumps(name)[1:-1], quote(name, "")):
                forms[escaped] = forms[escaped.replace("/", "\\/")] = None
        return tuple(forms)

    @cached_property
    def _bytes(self) -> re.Pattern[bytes]:
        plain = b"|".join(re.escape(form.encode("utf-8", "surrogatepass")) for form in self.forms)
        patterns = [b"(?<![%b])(?:%b)(?![%b])" % (_WORD.encode(), plain, _WORD.encode())]
        # Where a wide text begins is not known: the bytes beside the name tell, whichever way they are paired.
        for codec, before, after in (
            ("utf-16-le", rb"(?<![%b]\0)", rb"(?![%b])"),
            ("utf-16-be", rb"(?<![%b])", rb"(?!\0[%b])"),
        ):
            wide = b"|".join(re.escape(name.encode(codec, "surrogatepass")) for name in self.names)
            patterns.append((before % _WORD.encode()) + b"(?:" + wide + b")" + (after % _WORD.encode()))
        return re.compile(b"|".join(patterns))

    @cached_property
    def _text(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, self.forms))
        return re.compile(f"(?<![{_WORD}])(?:{names})(?![{_WORD}])")

    def in_bytes(self, content: bytes | bytearray | memoryview | mmap.mmap) -> bool:
        """Whether bytes hold a name."""
        return self._bytes.search(content) is not None

    def in_text(self, text: str) -> bool:
        """Whether a text holds a name, written plainly or with JSON's escapes."""
        if self._text.search(text) is not None or ("\\u" in text and self._text.search(unescaped(text)) is not None):
            return True
        return MARK in text and self.in_own(text.encode("utf-8", "replace"))

    def in_own(self, content: bytes | mmap.mmap) -> bool:
        """Whether a record in these bytes that carlake itself has wrapped or encrypted holds a name."""
        opened = (self._opened(match) for match in _OWN.finditer(content))
        return any(record is not None and self._in_record(record) for record in opened)

    def _opened(self, match: re.Match[bytes]) -> bytes | None:
        text = match["base64"]
        if text is None:
            return self.opener(match[0]) if self.opener is not None else None
        text = text.replace(b"\\", b"")
        # One that breaks off is searched as far as it goes.
        text = text[: len(text) - (len(text) % 4 == 1)]
        return base64.b64decode(text + b"=" * (-len(text) % 4))

    def _in_record(self, record: bytes) -> bool:
        # One that is wrapped may be encrypted, too.
        return (
            self.in_bytes(record) or self._text.search(unescaped(readable(record))) is not None or self.in_own(record)
        )

    def replaced(self, text: str, by: str) -> str:
        """The text with each name replaced."""
        return self._text.sub(lambda _: by, text)

    def masked(self, content: bytes) -> bytes:
        """The bytes with each name overwritten, their number unchanged."""
        return self._bytes.sub(lambda match: b"#" * len(match[0]), content)


@dataclass
class Searched:
    """What a search went through.

    unread  files that could not be decoded to their end; their bytes were searched
    """

    files: int = 0
    size: int = 0
    unread: tuple[str, ...] = ()


def search(
    root: Path, needle: Needle, searched: Searched, skip: Callable[[str], bool] = lambda path: False
) -> Iterator[Place]:
    """Every place below a folder that holds the name. `skip` leaves out folders, by path."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not skip(f"{folder}/{name}"))
        for name in sorted([*folders, *files]):
            if needle.in_text(name):
                yield Place(f"{folder}/{name}", "name")
        for name in sorted(files):
            yield from search_file(Path(folder, name), needle, searched)


def search_file(path: Path, needle: Needle, searched: Searched | None = None) -> Iterator[Place]:
    """Every kind of place in one file's content that holds the name. A file that vanishes meanwhile holds nothing."""
    searched = searched if searched is not None else Searched()
    try:
        if path.is_symlink() or not path.is_file():
            return
        size = path.stat().st_size
        if not size:
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            head = content[:8]
            if needle.in_bytes(content):
                yield Place(str(path), "text")
            elif needle.in_own(content):
                yield Place(str(path), "wrapped")
            elif b"\\u" in content[:] if size < 1 << 20 else content.find(b"\\u") >= 0:
                yield from _escaped(path, content, needle)
            try:
                if head.startswith(b"PAR1"):
                    yield from _parquet(path, needle)
                elif head.startswith(b"Obj\x01"):
                    yield from _avro(path, file, needle)
                elif is_compressed(head):
                    yield from _packed(path, file, head, needle)
            except (pa.ArrowException, StreamError, zlib.error, zstandard.ZstdError, ValueError, OSError, IndexError):
                searched.unread = (*searched.unread, str(path))
    except FileNotFoundError:
        return
    searched.files += 1
    searched.size += size


def _escaped(path: Path, content: mmap.mmap, needle: Needle) -> Iterator[Place]:
    step = 8 << 20
    for start in range(0, len(content), step):
        if needle.in_text(content[start : start + step + _OVERLAP].decode("utf-8", "replace")):
            yield Place(str(path), "escaped")
            return


def _packed(path: Path, file: BinaryIO, head: bytes, needle: Needle) -> Iterator[Place]:
    kind: Kind = "gzip" if head.startswith(b"\x1f\x8b") else "zstd"
    rest = b""
    for piece in _uncut(unpack(file)):
        text = rest + piece
        escaped = b"\\u" in text and needle.in_text(text.decode("utf-8", "replace"))
        if escaped or needle.in_bytes(text) or needle.in_own(text):
            yield Place(str(path), kind)
            return
        rest = text[-_OVERLAP:]


def _uncut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, joined where a record that carlake itself has wrapped or encrypted goes on in the next one."""
    mark, block = MARK.encode(), bytearray()
    try:
        for piece in pieces:
            block += piece
            begun = block.rfind(mark)
            ended = block.find(b"}", begun) >= 0 if begun >= 0 else not block.endswith(_BEGINNINGS)
            if ended or len(block) > _LONGEST_OWN:
                yield bytes(block)
                block.clear()
    except StreamError:
        yield bytes(block)
        raise
    yield bytes(block)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(path: Path, needle: Needle) -> Iterator[Place]:
    with pq.ParquetFile(path) as file:
        footer = file.metadata
        told: set[str] = set()
        for group in range(footer.num_row_groups):
            for number in range(footer.num_columns):
                column = footer.row_group(group).column(number)
                if column.path_in_schema not in told and _in_statistics(column.statistics, needle):
                    told.add(column.path_in_schema)
                    yield Place(str(path), "parquet statistics", column.path_in_schema)
        found: set[Place] = set()
        for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
            for place in _in_rows(str(path), batch, needle):
                if place not in found:
                    found.add(place)
                    yield place


def _in_statistics(statistics: Any, needle: Needle) -> bool:
    if statistics is None or not statistics.has_min_max:
        return False
    bounds = (statistics.min, statistics.max)
    return any(_holds(bound, needle) for bound in bounds)


def _in_rows(path: str, batch: pa.RecordBatch, needle: Needle) -> Iterator[Place]:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for row in _hits(column, needle):
            owner, source = (
                batch.column(key)[row].as_py() if key in batch.schema.names else None for key in (_OWNER, _SOURCE)
            )
            yield Place(path, "parquet value", name, None if owner is None else str(owner), source)


def _hits(column: Any, needle: Needle) -> list[int]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_nested(kind):
        return [row for row, value in enumerate(column.to_pylist()) if needle.in_text(json.dumps(value, default=str))]
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        return []
    # A quick look leaves few values for the exact one.
    likely = pc.match_substring(column, "\\u") if pa.types.is_string(kind) else pc.is_valid(column)
    if pa.types.is_string(kind):
        likely = pc.or_(likely, pc.or_(pc.starts_with(column, MARK), pc.match_substring(column, "\0")))
        for form in needle.forms:
            likely = pc.or_(likely, pc.match_substring(column, form))
    rows = pc.indices_nonzero(pc.fill_null(likely, False)).to_pylist()
    return [row for row in rows if _holds(column[row].as_py(), needle)]


def _holds(value: object, needle: Needle) -> bool:
    if isinstance(value, str):
        return needle.in_text(value) or ("\0" in value and needle.in_bytes(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, bytes):
        if is_compressed(value[:8]):
            found = bytearray()
            try:
                for piece in unpack(io.BytesIO(value)):
                    found += piece
            except StreamError:
                pass
            if needle.in_bytes(found):
                return True
        return needle.in_bytes(value)
    return False


# --- Avro (container files, https://avro.apache.org/docs/1.12.0/specification/#object-container-files) -----------------


def _avro(path: Path, file: BinaryIO, needle: Needle) -> Iterator[Place]:
    """Texts and bounds lie in Avro's blocks as their plain bytes, so that a block only has to be unpacked."""
    file.seek(4)
    codec = b"null"
    while count := _long(file):
        if count < 0:
            count = -count
            _long(file)
        for _ in range(count):
            name, value = (file.read(_long(file)) for _ in range(2))
            codec = value if name == b"avro.codec" else codec
    file.read(16)
    while file.peek(1) if isinstance(file, io.BufferedReader) else b"":
        _long(file)
        block = file.read(_long(file))
        if needle.in_bytes(_block(block, codec)):
            yield Place(str(path), "avro")
            return
        file.read(16)


def _block(block: bytes, codec: bytes) -> bytes:
    if codec == b"deflate":
        return zlib.decompress(block, -15)
    if codec == b"zstandard":
        return zstandard.ZstdDecompressor().decompressobj().decompress(block)
    if codec != b"null":
        raise ValueError(f"an Avro file with codec {codec!r}")
    return block


def _long(file: BinaryIO) -> int:
    """A number in Avro's variable-length zig-zag coding."""
    number = shift = 0
    while True:
        byte = file.read(1)[0]
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1)
