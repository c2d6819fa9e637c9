"""What goes wrong with records and files on the way, each with the reason code that quarantine gives it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from carlake.simulator.shapes import Shape

Place = Literal["value", "line", "csv", "parquet"]


@dataclass(frozen=True)
class Fault:
    """One way to spoil a good record.

    name    what happens, in words
    reason  the reason code that quarantine gives
    spoil   (text of a good record, its shape) -> the spoilt record
    fits    where the fault can be: "value": the record stays a JSON object, so it may stand anywhere JSON stands;
            "line": one line of its own, and nothing around it suffers; "csv" and "parquet": in a column of those
    """

    name: str
    reason: str
    spoil: Callable[[str, Shape], str | bytes]
    fits: frozenset[Place]


class FaultyFile(NamedTuple):
    """A file with a fault of its own: the reasons of the records it gives to quarantine, and how many good events it has."""

    name: str
    content: bytes
    reasons: tuple[str, ...]
    events: int = 0


_TIME: dict[Shape, tuple[str, ...]] = {
    "car_event": ("event_primary_timestamp",),
    "car_metrics": ("telemetryTimestamp",),
    "car_snapshot": ("metrics", "metricTimestamp"),
}
_ENGINE: dict[Shape, tuple[str, ...]] = {
    "car_event": ("trip_data", "vehicle_telemetry_snapshot", "data", "engineTempCelsius"),
    "car_metrics": ("metrics", "engineTempCelsius"),
    "car_snapshot": ("metrics", "engineTempCelsius"),
}
_FUEL: dict[Shape, tuple[str, ...]] = {shape: (*path[:-1], "fuelAvailableLiters") for shape, path in _ENGINE.items()}
_BLOCK: dict[Shape, tuple[str, ...]] = {
    "car_event": ("trip_data", "vehicle_telemetry_snapshot"),
    "car_metrics": ("metrics",),
    "car_snapshot": ("metrics",),
}
_CAR: dict[Shape, tuple[str, ...]] = dict.fromkeys(_TIME, ("carChassis",))
_YEAR: dict[Shape, tuple[str, ...]] = {
    "car_event": ("vehicle_static_info", "data", "year"),
    "car_metrics": ("year",),
    "car_snapshot": ("year",),
}


def _put(paths: dict[Shape, tuple[str, ...]], value: object) -> Callable[[str, Shape], str]:
    def spoil(text: str, shape: Shape) -> str:
        record: dict[str, Any] = json.loads(text)
        *blocks, field = paths[shape]
        inner = record
        for block in blocks:
            inner = inner.get(block, inner)  # a bare flat record has its metrics at the top
        inner[field] = value
        return json.dumps(record, ensure_ascii=False)

    return spoil


def _drop(fields: dict[Shape, str]) -> Callable[[str, Shape], str]:
    def spoil(text: str, shape: Shape) -> str:
        record: dict[str, Any] = json.loads(text)
        record.pop(fields[shape], None)
        return json.dumps(record, ensure_ascii=False)

    return spoil


def _no_zone(text: str, shape: Shape) -> str:
    if shape == "car_snapshot":  # its contract declares a zone, so there the text has to be wrong in itself
        return _put(_TIME, 1754042400)(text, shape)
    return _put(_TIME, "2025-08-01T10:00:00")(text, shape)


def _no_id(text: str, shape: Shape) -> str:
    # Only the nested shape has an id of its own; the others are named by car and time.
    return _drop({"car_event": "event_id", "car_metrics": "carChassis", "car_snapshot": "carChassis"})(text, shape)


def _long(text: str) -> str:
    return text[: len(text) * 2 // 3]


_JSON: frozenset[Place] = frozenset({"value", "line"})
_CSV: frozenset[Place] = _JSON | {"csv"}
_ANY: frozenset[Place] = _CSV | {"parquet"}
_LINE: frozenset[Place] = frozenset({"line"})

# Bad records take these in turn, so that a few of them already have many reasons.
FAULTS: tuple[Fault, ...] = (
    Fault("the event id is missing", "missing_field", _no_id, _JSON),
    Fault("a string where a number belongs", "bad_type", _put(_ENGINE, "ninety"), _CSV),
    Fault("a time that does not exist", "bad_timestamp", _put(_TIME, "2025-02-30T25:61:00Z"), _ANY),
    Fault("an engine at 900 Cel", "out_of_range", _put(_ENGINE, 900), _ANY),
    Fault("an integer past 64 bits", "number_too_large", _put(_YEAR, 2**70), _JSON),
    Fault("a block that is a string", "bad_block", _put(_BLOCK, "n/a"), _JSON),
    Fault(
        "a shape nobody knows", "unknown_shape", lambda text, shape: '{"ping": "roadside unit 12", "seq": 41}', _JSON
    ),
    Fault("a line that is not JSON", "not_json", lambda text, shape: "-- unit restarted, buffer lost --", _LINE),
    Fault("a line cut off", "truncated_json", lambda text, shape: _long(text), _LINE),
    Fault("a bare string", "not_an_object", lambda text, shape: '"offline"', _LINE),
    Fault(
        "NaN for a number",
        "non_finite_number",
        lambda text, shape: str(_put(_FUEL, float("nan"))(text, shape)),
        _LINE,
    ),
    Fault(
        "bytes that are not UTF-8",
        "not_utf8",
        lambda text, shape: text.replace('"carChassis": "', '"carChassis": "\udcff\udcfe').encode(
            "utf-8", "surrogateescape"
        ),
        _LINE,
    ),
    Fault(
        "a NUL byte",
        "nul_bytes",
        lambda text, shape: text.replace('"carChassis": "', '"carChassis": "\0').encode(),
        _LINE,
    ),
    Fault("the car is null", "missing_field", _put(_CAR, None), _ANY),
    Fault("a number where a string belongs", "bad_type", _put(_CAR, 17), _JSON),
    Fault("less than no fuel", "out_of_range", _put(_FUEL, -3.5), _ANY),
    Fault("a number of 400 digits", "number_too_large", _put(_FUEL, int("7" * 400)), _JSON),
    Fault("a block that is an array", "bad_block", _put(_BLOCK, [1, 2, 3]), _JSON),
    Fault(
        "Infinity for a number",
        "non_finite_number",
        lambda text, shape: str(_put(_FUEL, float("inf"))(text, shape)),
        _LINE,
    ),
    Fault("the time is null", "missing_field", _put(_TIME, None), _ANY),
    Fault("true where a number belongs", "bad_type", _put(_FUEL, True), _JSON),
    Fault("a car built in 1066", "out_of_range", _put(_YEAR, 1066), _ANY),
    Fault("a fraction where a whole number belongs", "bad_type", _put(_YEAR, 2024.5), _CSV),
    Fault("a time without a zone", "bad_type", _no_zone, _ANY),
)


def faults_for(place: Place) -> tuple[Fault, ...]:
    """The faults that can be in a place without harm to the records beside them."""
    return tuple(fault for fault in FAULTS if place in fault.fits)


def faulty_files(texts: Iterable[str], max_record_bytes: int = 16 * 2**20) -> list[FaultyFile]:
    """Files with a fault of their own, one of a kind, made of good nested records of one line each.

    `texts` gives the records (7 are taken); `max_record_bytes` is the size that the too large record passes.
    """
    take = iter(texts)
    cut = gzip.compress(next(take).encode(), 6, mtime=0)
    corrupt = bytearray(gzip.compress(next(take).encode(), 6, mtime=0))
    corrupt[-6] ^= 0xFF  # inside the checksum
    large = next(take)
    deep = "[" * 100_000 + "]" * 100_000
    # Good rows beside the bad one: what no row fits would not be a CSV.
    cells = (
        "carChassis,telemetryTimestamp,fuelAvailableLiters\n"
        "RWC7SURPLUS000001,2025-08-01T10:00:00Z,41.5\n"
        "RWC7SURPLUS000001,2025-08-01T11:00:00Z,40.2,surplus,cells\n"
        "RWC7SURPLUS000001,2025-08-01T12:00:00Z,38.9\n"
    )
    return [
        # What came through before the cut is a record that ends too early; the file is one more.
        FaultyFile("truncated.ndjson.gz", cut[: len(cut) // 2], ("truncated_json", "bad_compression")),
        FaultyFile("bad-checksum.json.gz", bytes(corrupt), ("bad_compression",)),
        FaultyFile("truncated.json", _long(_pretty(next(take))).encode(), ("truncated_json",)),
        FaultyFile("notes.json", b"Dear fleet team, the gateway was down from 10 to 12.\n", ("not_json",)),
        FaultyFile("utf16.json", next(take).encode("utf-16"), ("utf16",)),
        FaultyFile(
            "deep.json",
            next(take).replace('"data": {', f'"data": {{"deep": {deep}, ', 1).encode(),
            ("nesting_too_deep",),
        ),
        FaultyFile(
            "large.json.gz",
            gzip.compress(large[:-1].encode() + b', "log": "' + b"." * max_record_bytes + b'"}', 6, mtime=0),
            ("record_too_large",),
        ),
        FaultyFile("broken.parquet", b"PAR1" + next(take).encode() + b"PAR1", ("bad_parquet",)),
        FaultyFile("cells.csv", cells.encode(), ("bad_csv_row",), events=2),
    ]


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
