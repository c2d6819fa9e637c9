"""Records of forgotten cars: recognised on the way in by keyed tombstones, and what stands in their place.

A forgotten record leaves an empty row with its place in its object, so that the ledger stays whole and nobody takes
the gap for a loss. In an object that was written anew (`landing.rewriting`) a line of `FORGOTTEN` stands for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from carlake.contracts.contract import CSV_MARK, ContractSet
from carlake.contracts.judge import field_value, parse
from carlake.landing.compression import StreamError, is_compressed, unpack
from carlake.landing.defects import judge, wide_text

if TYPE_CHECKING:
    from carlake.landing.pseudonyms import Pseudonyms

FORGOTTEN_HASH = "forgotten"
"""bronze's `record_hash` in the row of a record that was forgotten."""
MARK = '{"$carlake":'
"""How the lines begin that carlake itself writes into objects."""
FORGOTTEN = MARK + '"forgotten"}'
WRAPPED = MARK + '"bytes","base64":"'
"""How a line of `wrap` begins; what follows is base64."""

_MOST_UNPACKED = 64 << 20
_LONGEST_CELL = 256
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTED = re.compile(r'"([^"\\\n]{1,256})"')
_RUN = re.compile(r"\w+(?:[-.:]\w+)*")
_PIECE = re.compile(r"[^\W_]+")
_CELL_END = re.compile(r"[,;\t\r\n]")
# A name may be made of so many pieces, as `AB-12.3` is of three, and a UUID of five.
_MOST_PIECES = 8


@dataclass(frozen=True)
class Tombstones:
    """What is kept of forgotten cars: the keyed hash of each. `key` is the lake's own."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()

    def of(self, car: str) -> str:
        """The tombstone of a car: HMAC-SHA256 (RFC 2104) as 64 hex digits. Without the key it tells nothing."""
        return hmac.new(self.key, b"car\0" + car.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def any_of(self, cars: Collection[str]) -> bool:
        """Whether one of the cars is forgotten."""
        return bool(self.marks) and any(self.of(car) in self.marks for car in cars)


def key_id(key: bytes) -> str:
    """What tells one key from another, and nothing about the key."""
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:16]


def instead_of(tombstone: str) -> str:
    """What stands for a forgotten car in the names of objects."""
    return f"forgotten-{tombstone[:12]}"


def cars_in(record: bytes, contracts: ContractSet) -> tuple[set[str], bool]:
    """The cars that a record may be about; and whether that is the one that its contract reads, and no guess.

    Of a record that no contract recognises, or that is broken, every quoted text, every word and every cell may be the car.
    """
    text = readable(record)
    try:
        value = parse(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and (contract := contracts.recognise(value)) is not None:
        _, car = field_value(value, contract.field_of["car_chassis"], text.startswith(CSV_MARK))
        if isinstance(car, str) and car:
            return {car}, True
    text = unescaped(text)
    return {*_QUOTED.findall(text), *words(text), *_cells(text)}, False


def _cells(text: str) -> Iterator[str]:
    """What stands between the commas, semicolons, tabs and lines of a text, also without the spaces about it."""
    for cell in _CELL_END.split(text):
        if cell and len(cell) <= _LONGEST_CELL:
            yield cell
            yield cell.strip()


def words(text: str) -> set[str]:
    """Every word of a text, and what words make that `-`, `.`, `:` or `_` join: whatever may be a name."""
    found: set[str] = set()
    for run in _RUN.finditer(text):
        pieces = [piece.span() for piece in _PIECE.finditer(run[0])]
        for first, (start, _) in enumerate(pieces):
            found.update(run[0][start:end] for _, end in pieces[first : first + _MOST_PIECES])
    return found


def _file_names(uri: str) -> Iterator[str]:
    """The parts of a path, each also without its suffixes: whatever a file or folder may be named after."""
    for part in uri.split("/"):
        while part:
            yield part
            part, dot, _ = part.rpartition(".")
            if not dot:
                break


def readable(record: bytes) -> str:
    """The text of a record as far as it has one, that of a damaged compressed stream too."""
    if is_compressed(record):
        record = _unpacked(record)
    wide = wide_text(record)
    if wide:
        codec = f"{wide.replace('-', '_').lower()}_{'le' if record[:1] not in (b'', bytes(1)) else 'be'}"
        return record.removeprefix(b"\xff\xfe").decode(codec, "replace")
    return record.decode("utf-8", "replace")


def unescaped(text: str) -> str:
    """The text with JSON's numeric escapes as characters, so that no escape hides a name."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "\\u" in text else text


def _unpacked(record: bytes) -> bytes:
    found = bytearray()
    try:
        for piece in unpack(io.BytesIO(record)):
            found += piece
            if len(found) > _MOST_UNPACKED:
                break
    except StreamError:
        pass
    return bytes(found)


class Screen:
    """Takes the records of forgotten cars out of what is landed, and puts back what an earlier rewriting wrapped.

    forgotten  how many records were taken out so far
    """

    def __init__(
        self,
        contracts: ContractSet,
        tombstones: Tombstones,
        max_record_bytes: int,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self._contracts = contracts
        self._pseudonyms = pseudonyms
        self._tombstones = tombstones
        self._limit = max_record_bytes
        keys = "|".join(re.escape(name) for name in contracts.hints["car_chassis"])
        self._key = f'"(?:{keys})"\\s*:'
        self._value = f'"(?:{keys})"\\s*:\\s*"(?P<value>[^"\\\\]*)"'
        self.forgotten = 0

    def __call__(self, batch: pa.RecordBatch, own: Callable[[], bool] = lambda: True) -> pa.RecordBatch:
        """The batch (schema `landing.records.RECORDS`) with an empty row for each record of a forgotten car.

        `own` tells whether carlake itself has written the object (`landing.archived.is_own`): what looks like a line of
        carlake's in an object of somebody else is a record like any other. It is asked only where there is such a line.
        """
        raw: Any = batch.column("raw")
        marked = pc.starts_with(raw, MARK)
        gone: set[int] = set()
        if pc.any(marked).as_py() and own():
            batch, gone = self._unwrapped(batch, [row for row, own in enumerate(marked.to_pylist()) if own])
        if self._pseudonyms is not None:
            if self._tombstones.marks:
                # What will be encrypted, or renamed beyond its own car, can be told now alone.
                gone |= set(self._unsure_of_forgotten(batch))
            batch = self._pseudonyms(batch)
        if self._tombstones.marks:
            gone |= set(self._rows_of_forgotten(batch))
        if not gone:
            return batch
        self.forgotten += len(gone)
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        for row in gone:
            for name in columns:
                columns[name][row] = FORGOTTEN_HASH if name == "record_hash" else None
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema)

    def rewriting(self, own: Callable[[], bool]) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        """As a call, for what goes into an object of carlake's own: there a record that reads like a line of carlake's
        would be taken for one, so it is wrapped.
        """

        def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
            batch = self(batch, own)
            texts = batch.column("raw").to_pylist()
            alike = [row for row, text in enumerate(texts) if text and (text == FORGOTTEN or text.startswith(WRAPPED))]
            if not alike:
                return batch
            for row in alike:
                texts[row] = wrap(texts[row].encode()).decode()
            at = batch.schema.get_field_index("raw")
            return batch.set_column(at, batch.schema.field(at), pa.array(texts, pa.string()))

        return rewrite

    def name(self, name: str) -> str:
        """What an object's uri is recorded as: without the names of forgotten cars, or as a pseudonym."""
        if self._pseudonyms is not None:
            return self._pseudonyms.uri(name)
        if self._tombstones.marks:
            for word in sorted({*words(name), *_file_names(name)}, key=len, reverse=True):
                if self._tombstones.any_of((word,)):
                    name = name.replace(word, instead_of(self._tombstones.of(word)))
        return name

    def is_forgotten(self, record: bytes) -> bool:
        """Whether a record is about a forgotten car."""
        cars = cars_in(record, self._contracts)[0]
        known = self._pseudonyms
        return self._tombstones.any_of(cars if known is None else {known.car(car) for car in cars})

    def _unsure_of_forgotten(self, batch: pa.RecordBatch) -> Iterator[int]:
        """The rows of forgotten cars among the records that no contract recognises or that are broken."""
        for row in range(batch.num_rows):
            record = record_of(batch, row)
            if record is not None and not cars_in(record, self._contracts)[1] and self.is_forgotten(record):
                yield row

    def _unwrapped(self, batch: pa.RecordBatch, rows: list[int]) -> tuple[pa.RecordBatch, set[int]]:
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        gone = set()
        for row in rows:
            text = columns["raw"][row]
            if text == FORGOTTEN:
                gone.add(row)
            elif (record := unwrap(text)) is not None:
                columns["raw"][row], columns["raw_bytes"][row] = as_columns(record)
                columns["record_hash"][row] = xxhash.xxh3_128_hexdigest(record)
                verdict = judge(record, self._limit)
                columns["reason"][row] = verdict[0].value if verdict else None
                columns["detail"][row] = verdict[1] if verdict else None
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema), gone

    def _rows_of_forgotten(self, batch: pa.RecordBatch) -> Iterator[int]:
        """The rows of forgotten cars. A record that names its car once and plainly is known by that name alone."""
        raw: Any = batch.column("raw")
        car = pc.struct_field(pc.extract_regex(raw, self._value), "value")
        once = pc.equal(pc.count_substring_regex(raw, self._key), 1)
        plain = pc.and_(pc.and_(once, pc.is_valid(car)), pc.is_null(batch.column("reason")))
        plain = pc.fill_null(pc.and_(plain, pc.invert(pc.match_substring(raw, "\\u"))), False)
        names = pc.unique(pc.filter(car, plain)).to_pylist()
        forgotten = {name for name in names if self._tombstones.any_of((name,))}
        found = pc.fill_null(pc.is_in(car, pa.array(sorted(forgotten), pa.string())), False)
        yield from (row for row, hit in enumerate(pc.and_(found, plain).to_pylist()) if hit)
        for row, sure in enumerate(plain.to_pylist()):
            if not sure and (record := record_of(batch, row)) is not None and self.is_forgotten(record):
                yield row


def record_of(batch: pa.RecordBatch, row: int) -> bytes | None:
    """The bytes of a record as `raw` or `raw_bytes` has them."""
    text = batch.column("raw")[row].as_py()
    content: bytes | None = text.encode() if text is not None else batch.column("raw_bytes")[row].as_py()
    return content


def as_columns(record: bytes) -> tuple[str | None, bytes | None]:
    """A record as `raw` where it is UTF-8, else as `raw_bytes`."""
    try:
        return record.decode(), None
    except UnicodeDecodeError:
        return None, record


def wrap(record: bytes) -> bytes:
    """A line that stands for a record which is no JSON object, so that it is found again whatever stands beside it."""
    return WRAPPED.encode() + base64.b64encode(record) + b'"}'


def unwrap(text: str) -> bytes | None:
    """The record that a line of `wrap` stands for; None where it is none."""
    if not text.startswith(WRAPPED):
        return None
    try:
        return base64.b64decode(str(json.loads(text)["base64"]), validate=True)
    except (ValueError, KeyError, TypeError):
        return None
