"""Personal data as pseudonyms, from the moment of landing on: keyed, and the same for the same value, so that joins work.

What contracts mark as personal becomes HMAC-SHA256 of the value (RFC 2104), cut to 128 bits, with 32 bits more by which
a pseudonym is known again and never made into another one. A record that has no structure to find personal data by is
held whole, encrypted by AES-SIV (RFC 5297): the same record gives the same text, so that landing stays a function of
what was landed, and no nonce has to be kept. Without the key neither can be undone or tried out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
import xxhash
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from carlake.contracts.contract import Contract, ContractSet, Path
from carlake.contracts.judge import parse
from carlake.errors import SettingsError
from carlake.landing.defects import SEALED
from carlake.landing.forgotten import record_of

_OWN = re.compile(r"p_[0-9a-f]{40}")
_SUFFIX = re.compile(r"(\.(?:json|jsonl|ndjson|csv|parquet|txt))?(\.(?:gz|zst))?$", re.IGNORECASE)
# A shorter value may stand in other places by chance.
_SHORTEST_ELSEWHERE = 6
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_SCALAR = re.compile(rb"(?P<scalar>" + _STRING + rb"|-?[0-9][-+.0-9eE]*)(?P<key>\s*:)?", re.DOTALL)
_KEY_OR_BRACE = re.compile(rb"(?P<text>" + _STRING + rb")(?P<key>\s*:)?|[{}]", re.DOTALL)
# Such a name can stand nowhere in JSON text but in a string, and is written there as it is.
_IN_STRINGS_ALONE = re.compile(r"[A-Za-z][\w ./-]{5,}")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class _Names(dict[str, str]):
    """What stood in the personal data of a record, each with its pseudonym; `numbers` are those that stood there as such."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: set[str] = set()


class Pseudonyms:
    """Makes pseudonyms under one key. Raises SettingsError where a contract's personal column can hold none."""

    def __init__(self, key: bytes, contracts: ContractSet) -> None:
        self._key = key
        self._contracts = contracts
        for contract in contracts.contracts:
            for field in contract.fields:
                if field.column.personal and field.column.type != "string":
                    raise SettingsError(
                        f"Column {field.column.name} of contract {contract.name} is personal and of type "
                        f"{field.column.type}, which can hold no pseudonym.",
                        "Declare it as text, leave it out of the contract, or do not set pseudonym_key_file.",
                    )

    def __reduce__(self) -> tuple[Any, ...]:
        return Pseudonyms, (self._key, self._contracts)  # what is made from them is made again elsewhere

    @property
    def key_id(self) -> str:
        """What tells one key from another, and nothing about the key."""
        return self._mac(b"key id", b"").hex()[:16]

    def of(self, column: str, value: str) -> str:
        """The pseudonym of a value; a pseudonym under this key stays what it is."""
        if self.is_own(value):
            return value
        name = self._mac(column.encode(), value.encode("utf-8", "surrogatepass"))[:16].hex()
        return f"p_{name}{self._check(name)}"

    def is_own(self, text: str) -> bool:
        """Whether a text is a pseudonym that this key has made."""
        return _OWN.fullmatch(text) is not None and hmac.compare_digest(text[34:], self._check(text[2:34]))

    def car(self, car: str) -> str:
        """The pseudonym of a car."""
        return self.of("car_chassis", car)

    def uri(self, uri: str) -> str:
        """What stands for an object's uri: names of files and folders may hold a car as well as anything else."""
        return f"pseudonym/{self.file_name(uri)}"

    def file_name(self, uri: str) -> str:
        """What stands for an object's name in the archive; how it ends is kept."""
        if uri.startswith("pseudonym/"):
            return uri.rpartition("/")[2]
        suffix = _SUFFIX.search(uri)
        return self._mac(b"uri", uri.encode("utf-8", "surrogatepass"))[:16].hex() + (
            suffix[0].lower() if suffix else ""
        )

    def _mac(self, domain: bytes, value: bytes) -> bytes:
        return hmac.new(self._key, domain + b"\0" + value, hashlib.sha256).digest()

    def _check(self, name: str) -> str:
        return self._mac(b"check", name.encode()).hex()[:8]

    # -- records -----------------------------------------------------------------------------------------------------

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records of a batch (schema `landing.records.RECORDS`) rewritten. Those that this key has sealed stay as they
        are; what only begins like them may be anybody's.
        """
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        for row in range(batch.num_rows):
            record = record_of(batch, row)
            if record is None or self.open(record) is not None:
                continue
            text = self._rewritten(record) if columns["reason"][row] is None else None
            if text is None:
                text = self.seal(record, columns["reason"][row], columns["detail"][row])
            columns["raw"][row], columns["raw_bytes"][row] = text.decode(), None
            columns["record_hash"][row] = xxhash.xxh3_128_hexdigest(text)
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema)

    def _rewritten(self, record: bytes) -> bytes | None:
        """A record with pseudonyms in place of its personal data; None where no contract says which that is."""
        try:
            return self._in_structure(record)
        except RecursionError:
            pass
        # Nested so deeply that the caller's stack leaves too little: a fresh one has room for what landing lets through.
        found: list[bytes | None] = []

        def again() -> None:
            with suppress(RecursionError):
                found.append(self._in_structure(record))

        thread = threading.Thread(target=again, name="carlake-deep-pseudonyms")
        thread.start()
        thread.join()
        return found[0] if found else None

    def _in_structure(self, record: bytes) -> bytes | None:
        try:
            try:
                value = msgspec.json.decode(record)
                once = b"\\" not in record and _encode(value).count(b":") == record.count(b":")
            except msgspec.DecodeError:
                value, once = parse(record.decode()), False  # numbers past what a double holds, for one
            contract = self._contracts.recognise(value) if isinstance(value, dict) else None
            if contract is None or not (once or _has_keys_once(record)):
                # Of a key that stands there twice it is anybody's guess which one is meant, and both are personal.
                return None
            names = _Names()
            members = self._walk(_members(record), self._personal[contract.name], names)
            others = {path: column for path, column in self._others[contract.name].items() if path[0] in members}
            if others:
                members = self._walk(_members(_encode(members)), others, names, sure=False)
            text = bytes(_encode(members))
            # The car's name in an event id or a note says as much as in its own field.
            for name in [name for name in names if len(name) < _SHORTEST_ELSEWHERE]:
                del names[name]
            return _elsewhere(text, names) if names else text
        except (msgspec.DecodeError, ValueError):
            return None

    @cached_property
    def _personal(self) -> Mapping[str, Mapping[Path, str]]:
        """By contract: the paths of personal data, and which column each belongs to."""
        return {contract.name: _paths(contract) for contract in self._contracts.contracts}

    @cached_property
    def _others(self) -> Mapping[str, Mapping[Path, str]]:
        """By contract: what the other contracts have as personal where this one reads nothing."""
        found: dict[str, dict[Path, str]] = {}
        for contract in self._contracts.contracts:
            read = {path[:end] for field in contract.fields for path in field.paths for end in range(1, len(path) + 1)}
            pairs = (pair for personal in self._personal.values() for pair in personal.items() if pair[0] not in read)
            found[contract.name] = _by_path(pairs)
        return found

    def _walk(
        self, members: dict[str, msgspec.Raw], paths: Mapping[Path, str], names: _Names, sure: bool = True
    ) -> dict[str, Any]:
        """An object with the values at the paths replaced; `names` gathers each with what it was.

        sure  the paths are of the record's own contract: what is no object where one should be is replaced, too
        """
        below: dict[str, dict[Path, str]] = {}
        done: dict[str, Any] = dict(members)
        for path, column in paths.items():
            if path[0] not in members:
                continue
            if len(path) > 1:
                below.setdefault(path[0], {})[path[1:]] = column
            else:
                done[path[0]] = self._replaced(bytes(members[path[0]]), column, names)
        for key, inner in below.items():
            block = bytes(members[key]).strip()
            if (key,) in paths:
                continue
            if block.startswith(b"{"):
                done[key] = self._walk(_members(block), inner, names, sure)
            elif sure and block != b"null":
                # No object where one should be: whatever it is, it may be what should be in it.
                done[key] = self._replaced(block, next(iter(inner.values())), names)
        return done

    def _replaced(self, value: bytes, column: str, names: _Names) -> Any:
        value = value.strip()
        if value in (b"null", b'""'):
            return msgspec.Raw(value)
        if not value.startswith(b'"'):
            # A list, since the value was no text and must not become one: it would then be accepted.
            inner = value[2:-2].decode()
            if value[:2] == b'["' and self.is_own(inner):
                return [inner]
            for token in _SCALAR.finditer(value):
                if not token["key"]:
                    scalar = token["scalar"]
                    text = _text(scalar) if scalar.startswith(b'"') else scalar.decode()
                    self._named(text, column, names)
                    if not scalar.startswith(b'"'):
                        names.numbers.add(text)
            return [self.of(column, value.decode())]
        return self._named(_text(value), column, names)

    def _named(self, clear: str, column: str, names: _Names) -> str:
        pseudonym = self.of(column, clear)
        if pseudonym != clear:
            names.setdefault(clear, pseudonym)
        return pseudonym

    # -- what has no structure ---------------------------------------------------------------------------------------

    @cached_property
    def _cipher(self) -> AESSIV:
        return AESSIV(hmac.new(self._key, b"seal", hashlib.sha512).digest())

    def seal(self, record: bytes, reason: str | None = None, detail: str | None = None) -> bytes:
        """A record as JSON text that holds it encrypted, and why it could not be read, which stays readable."""
        told = {"reason": reason, "detail": detail} if reason else {}
        data = base64.b64encode(self._cipher.encrypt(record or b"\0", None)).decode()
        return SEALED + b"," + json.dumps({**told, "data": data}).encode()[1:]

    def open(self, text: bytes | str) -> bytes | None:
        """The record that a sealed text holds; None where it is none, or was sealed under another key."""
        content = text.encode() if isinstance(text, str) else text
        if not content.startswith(SEALED):
            return None
        try:
            return self._cipher.decrypt(base64.b64decode(json.loads(content)["data"]), None)
        except (ValueError, KeyError, TypeError, binascii.Error, InvalidTag):
            return None


def _paths(contract: Contract) -> dict[Path, str]:
    """The personal paths of a contract."""
    personal = (field for field in contract.fields if field.column.personal)
    return _by_path((path, field.column.name) for field in personal for path in field.paths)


def _by_path(pairs: Iterable[tuple[Path, str]]) -> dict[Path, str]:
    """Which column a path belongs to. Of two columns at one path it is the car's: by its pseudonym a car is forgotten."""
    found: dict[Path, str] = {}
    for path, column in sorted(pairs, key=lambda pair: pair[1] != "car_chassis"):
        found.setdefault(path, column)
    return found


def _has_keys_once(text: bytes) -> bool:
    """Whether no object in a JSON text has a key twice."""
    open_objects: list[set[str]] = []
    for token in _KEY_OR_BRACE.finditer(text):
        if token[0] == b"{":
            open_objects.append(set())
        elif token[0] == b"}":
            open_objects.pop()
        elif token["key"]:
            key = _text(token["text"])
            if key in open_objects[-1]:
                return False
            open_objects[-1].add(key)
    return True


def _elsewhere(text: bytes, names: _Names) -> bytes:
    """A JSON text with names replaced in every string that has them as whole words, and numbers that are one."""
    plain = [name.encode() for name in names]
    if b"\\" not in text and not any(name in text for name in plain):
        return text
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pattern = re.compile(f"(?<![0-9A-Za-z])(?:{any_name})(?![0-9A-Za-z])")
    if b"\\" not in text and all(map(_IN_STRINGS_ALONE.fullmatch, names)):
        return pattern.sub(lambda match: names[match[0]], text.decode()).encode()

    def swapped(token: re.Match[bytes]) -> bytes:
        scalar = token["scalar"]
        if not scalar.startswith(b'"'):
            # In quotes it is no number any more, but then the record is refused: its personal value is one.
            number = scalar.decode()
            own = names.get(number) if number in names.numbers else None
            return token[0] if own is None else bytes(_encode(own))
        if b"\\" not in scalar and not any(name in scalar for name in plain):
            return token[0]
        return bytes(_encode(pattern.sub(lambda match: names[match[0]], _text(scalar)))) + (token["key"] or b"")

    return _SCALAR.sub(swapped, text)
