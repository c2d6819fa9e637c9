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
from collections.abc import Iterator, Mapping
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
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


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
            try:
                value = msgspec.json.decode(record)
            except msgspec.DecodeError:
                value = parse(record.decode())  # numbers past what a double holds, for one
            contract = self._contracts.recognise(value) if isinstance(value, dict) else None
            if contract is None:
                return None
            names: dict[str, str] = {}
            members = self._walk(_members(record), self._personal[contract.name], names)
            text = bytes(_encode(members))
            # The car's name in an event id or a note says as much as in its own field.
            names = {name: other for name, other in names.items() if len(name) >= _SHORTEST_ELSEWHERE}
            return self._elsewhere(text, names) if names else text
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None

    @cached_property
    def _personal(self) -> Mapping[str, Mapping[Path, str]]:
        """By contract: the paths of personal data, and which column each belongs to."""
        return {contract.name: _paths(contract) for contract in self._contracts.contracts}

    def _walk(
        self, members: dict[str, msgspec.Raw], paths: Mapping[Path, str], names: dict[str, str]
    ) -> dict[str, Any]:
        """An object with the values at the paths replaced; `names` gathers each with what it was."""
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
            if block.startswith(b"{"):
                done[key] = self._walk(_members(block), inner, names)
            elif block != b"null":
                # No object where one should be: whatever it is, it may be what should be in it.
                done[key] = self._replaced(block, next(iter(inner.values())), names)
        return done

    def _replaced(self, value: bytes, column: str, names: dict[str, str]) -> Any:
        value = value.strip()
        if value in (b"null", b'""'):
            return msgspec.Raw(value)
        if not value.startswith(b'"'):
            # A list, since the value was no text and must not become one: it would then be accepted.
            inner = value[2:-2].decode()
            own = value[:2] == b'["' and self.is_own(inner)
            return [inner if own else self.of(column, value.decode())]
        clear = _text(value)
        pseudonym = self.of(column, clear)
        if pseudonym != clear:
            names[clear] = pseudonym
        return pseudonym

    def _elsewhere(self, text: bytes, names: Mapping[str, str]) -> bytes:
        """A JSON text with names replaced in every string that has them as whole words."""
        if b"\\" not in text and not any(name.encode() in text for name in names):
            return text
        pattern = re.compile(
            "(?<![0-9A-Za-z])(?:" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")(?![0-9A-Za-z])"
        )

        def inside(value: bytes) -> Any:
            value = value.strip()
            if b"\\" not in value and not any(name.encode() in value for name in names):
                return msgspec.Raw(value)
            if value.startswith(b'"'):
                return swapped(_text(value))
            if value.startswith(b"{"):
                return {swapped(key): inside(bytes(inner)) for key, inner in _members(value).items()}
            if value.startswith(b"["):
                return [inside(bytes(inner)) for inner in _elements(value)]
            return msgspec.Raw(value)

        def swapped(found: str) -> str:
            return pattern.sub(lambda match: names[match[0]], found)

        return bytes(_encode(inside(text)))

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
    return dict(_personal_paths(contract))


def _personal_paths(contract: Contract) -> Iterator[tuple[Path, str]]:
    for field in contract.fields:
        if field.column.personal:
            yield from ((path, field.column.name) for path in field.paths)
