"""The reference judge: whether a record is accepted, by which contract, with which values; else the reason why not.

Engines extract clean records their own way and fast; whatever is not plainly clean they bring here. So a reason is
decided in one place, and an engine is right if its values of clean records are those of this module.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from carlake.contracts import times
from carlake.contracts.contract import CSV_MARK, Contract, ContractSet, Field, text_of, value_at

Reason = Literal[
    "not_json",
    "unknown_shape",
    "bad_block",
    "missing_field",
    "bad_type",
    "bad_timestamp",
    "number_too_large",
    "out_of_range",
]

# Stable codes: users filter by them. The first of these that holds, in this order of fields, is the record's reason.
REASONS: dict[Reason, str] = {
    "not_json": "the text is not strict JSON",
    "unknown_shape": "no contract recognises the record",
    "bad_block": "a block that should hold fields is neither an object nor null",
    "missing_field": "a required field is missing, null or empty",
    "bad_type": "a value is not of its column's type, or a time names no zone and the contract declares none",
    "bad_timestamp": "a time or day cannot be read, or does not exist",
    "number_too_large": "a number is past 64 bits, or past what a double holds",
    "out_of_range": "a number is outside the range that silver or the contract declares",
}
assert tuple(REASONS) == get_args(Reason)

_MAX_DEPTH = 100  # contracts' paths are shorter; whatever lies deeper belongs to no column
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class Accepted:
    """A record that a contract accepts: silver column -> value (str, int, float, UTC datetime, date), nulls left out."""

    contract: str
    version: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A record that is put in quarantine; `contract` and `version` are None where none recognised it."""

    contract: str | None
    version: int | None
    reason: Reason
    detail: str


class _Huge:
    """An integer literal past 64 bits, kept as text: Python would spend minutes on a long one."""

    def __init__(self, text: str) -> None:
        self.text = text


class _WrongError(Exception):
    """A value that its column does not take."""

    def __init__(self, reason: Reason, rule: str) -> None:
        self.reason: Reason = reason
        self.rule = rule


def parse(text: str) -> Any:
    """The JSON value of a record's text. Of a key given twice in one object the first counts, as in DuckDB.

    Raises ValueError if the text is not strict JSON (NaN and Infinity are not). Nesting may be as deep as it likes:
    below 100 levels everything reads as null, since no column lies there.
    """
    try:
        return _decode(text)
    except RecursionError:
        return _decode(_shallow(text))


def judge_text(text: str, contracts: ContractSet, *, modified_at: datetime | None = None) -> Accepted | Refused:
    """Judge a record as landed. `modified_at` is its object's modification time: see `judge`."""
    try:
        record = parse(text)
    except ValueError as error:
        return Refused(None, None, "not_json", str(error))
    return judge(record, contracts, csv=text.startswith(CSV_MARK), modified_at=modified_at)


def judge(
    record: Any, contracts: ContractSet, *, csv: bool = False, modified_at: datetime | None = None
) -> Accepted | Refused:
    """Judge a parsed record.

    csv          the record is a CSV row: its values are text, cast here (the empty text is null)
    modified_at  the object's modification time: the version of a record that has no processing_timestamp
    """
    contract = contracts.recognise(record) if isinstance(record, dict) else None
    if contract is None:
        return Refused(None, None, "unknown_shape", "no contract recognises it: " + _keys(record))
    for block in contract.blocks:
        value = value_at(record, block)
        if value is not None and not isinstance(value, dict):
            return _refused(contract, "bad_block", block, value, "must be an object or null")
    values: dict[str, Any] = {}
    for field in contract.fields:
        path, value = field_value(record, field, csv)
        if field.required and (value is None or value == ""):
            return _refused(contract, "missing_field", path, value, "required")
        if value is None:
            continue
        try:
            values[field.column.name] = _cast(value, field, csv)
        except _WrongError as wrong:
            return _refused(contract, wrong.reason, path, value, wrong.rule)
    if not values.get("event_id"):
        values["event_id"] = f"{values['car_chassis']}_{values['event_primary_timestamp']}"
    version = values.get("processing_timestamp") or modified_at
    if version is not None:
        values["event_version"] = version
    return Accepted(contract.name, contract.version, values)


def field_value(record: Mapping[str, Any], field: Field, csv: bool) -> tuple[tuple[str, ...], Any]:
    """The value of a field as it lies in a record, and where; None where there is none. `csv`: see `judge`."""
    for path in field.paths:
        value = value_at(record, path)
        if csv and isinstance(value, str) and not (value if field.column.type == "string" else value.strip(" ")):
            value = None
        if value is not None:
            return path, value
    return field.paths[0], None


def _cast(value: Any, field: Field, csv: bool) -> Any:
    match field.column.type:
        case "string":
            return _text(value)
        case "timestamptz" | "date":
            return _time(value.strip(" ") if csv and isinstance(value, str) else value, field)
        case _:
            return _number(_csv_number(value) if csv and isinstance(value, str) else value, field)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError("bad_type", "must be text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _WrongError("bad_type", "must be Unicode text: it has half a surrogate pair") from None
    return value


def _time(value: Any, field: Field) -> Any:
    if not isinstance(value, str):
        raise _WrongError("bad_type", "must be text with a time")
    read = times.day if field.column.type == "date" else times.instant
    form = f"as {field.format.text}" if field.format else "ISO 8601"
    try:
        return read(value, field.format, field.zone)
    except times.NoZoneError:
        raise _WrongError("bad_type", "must be a time with its zone: the contract declares none") from None
    except times.NoTimeError:
        raise _WrongError("bad_timestamp", f"must be a time that exists, {form}") from None


def _csv_number(text: str) -> Any:
    text = text.strip(" ")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _WrongError("bad_type", "must be a number")
    return float(text) if match[2] or match[3] else _integer(text)


def _number(value: Any, field: Field) -> int | float:
    column = field.column
    if isinstance(value, _Huge):
        raise _WrongError("number_too_large", "must fit 64 bits")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongError("bad_type", "must be a number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _WrongError("number_too_large", "must fit 64 bits")
    if not math.isfinite(value):
        raise _WrongError("number_too_large", "must be finite")
    number: int | float
    if column.type == "double":
        number = float(value) + 0.0  # no negative zero: it equals zero, but not as bytes
    else:
        number = int(value)
        if number != value:
            raise _WrongError("bad_type", "must be a whole number")
        if not -(2**63) <= number < 2**63:
            raise _WrongError("number_too_large", "must fit 64 bits")
    low, high = column.minimum, column.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise _WrongError("out_of_range", _range(low, high, column.unit))
    if column.type == "int" and not -(2**31) <= number < 2**31:
        raise _WrongError("out_of_range", "must fit 32 bits")
    return number


def _range(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        text = f"must be {high:g} or less" if low is None else f"must be {low:g} or more"
    else:
        text = f"must be {low:g} to {high:g}"
    return f"{text} {unit}".rstrip()


def _refused(contract: Contract, reason: Reason, path: tuple[str, ...], value: Any, rule: str) -> Refused:
    return Refused(contract.name, contract.version, reason, f"{_clean(text_of(path))}: {shown(value)}: {rule}")


def shown(value: Any) -> str:
    """A value as JSON, cut to 100 characters."""
    if isinstance(value, _Huge):
        text = value.text[:101]
    elif isinstance(value, str):
        text = json.dumps(value[:101], ensure_ascii=False)
    else:
        text = json.dumps(value, ensure_ascii=False, default=lambda huge: huge.text[:101])
    text = text if len(text) <= 100 else text[:97] + "..."
    return _clean(text)


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _keys(record: Any) -> str:
    if not isinstance(record, dict):
        return f"{shown(record)} is not an object"
    keys = ", ".join(list(record)[:20])
    keys = keys if len(keys) <= 100 else keys[:97] + "..."
    return _clean(f"its keys are {keys}") if record else "it has no key"


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _integer(text: str) -> int | _Huge:
    return int(text) if len(text) <= 20 else _Huge(text)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_first_wins, parse_int=_integer, parse_constant=_constant).decode


def _shallow(text: str) -> str:
    """The text with every object and list that lies deeper than _MAX_DEPTH replaced by null."""
    kept: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                depth += 1
                if depth == _MAX_DEPTH:
                    kept.append(text[start : token.start()] + "null")
            case "}" | "]":
                if depth == _MAX_DEPTH:
                    start = token.end()
                depth -= 1
    kept.append(text[start:])
    return "".join(kept)
