"""Records in one file: JSON of several kinds, CSV and Parquet, plain, gzip or zstd."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
import zstandard

from carlake.simulator.fleet import Record

Container = Literal["ndjson", "pretty", "array", "concatenated", "csv", "csv_dotted", "parquet"]
Compression = Literal["", "gzip", "zstd"]

SUFFIX: dict[str, str] = {
    "ndjson": ".ndjson",
    "pretty": ".json",
    "array": ".json",
    "concatenated": ".json",
    "csv": ".csv",
    "csv_dotted": ".csv",
    "parquet": ".parquet",
    "": "",
    "gzip": ".gz",
    "zstd": ".zst",
}


class SupportsWrite(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int: ...


_BATCH = 4_096
_FLAT = ("carChassis", "manufacturer", "model", "year", "telemetryTimestamp")
_METRICS = ("currentMileageKm", "fuelAvailableLiters", "engineTempCelsius", "oilPressurePsi")


def write_container(container: Container, compress: Compression, records: Iterable[Record], file: IO[bytes]) -> bytes:
    """Write the records into an open file as one container; returns a digest that equal contents share.

    csv         a header of bare names, comma separated
    csv_dotted  a byte order mark, `;`, dotted headers, and a column no contract names with line breaks in its cells
    """
    digest = xxhash.xxh3_128(f"{container} {compress}".encode())
    if container == "parquet":
        _parquet(records, file, digest)
        return digest.digest()
    with _compressed(file, compress) as out:
        for batch in _text(container, records):
            digest.update(batch)
            out.write(batch)
    return digest.digest()


@contextmanager
def _compressed(file: IO[bytes], compress: Compression) -> Iterator[SupportsWrite]:
    if compress == "gzip":
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # neither name nor time: same records, same bytes
            yield packed
    elif compress == "zstd":
        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as stream:
            yield stream
    else:
        yield file


def _text(container: Container, records: Iterable[Record]) -> Iterator[bytes]:
    if container == "ndjson":
        stream = iter(records)
        while batch := list(islice(stream, _BATCH)):
            yield b"".join(_bytes(record) + b"\n" for record in batch)
    elif container == "array":
        opening = b"["
        for record in records:
            yield opening + b"\n" + _pretty(record).encode()
            opening = b","
        yield b"[]\n" if opening == b"[" else b"\n]\n"
    elif container == "concatenated":
        for index, record in enumerate(records):  # with a line break between, and without
            yield _pretty(record).encode() + (b"\n" if index % 2 else b"")
    elif container == "pretty":
        for record in records:
            try:
                yield _pretty(record).encode() + b"\n"
            except ValueError:  # a fault of the text: it has no prettier form
                yield _bytes(record)
    else:
        yield from _csv(container, records)


def _bytes(record: Record) -> bytes:
    return record.text.encode() if isinstance(record.text, str) else record.text


def _pretty(record: Record) -> str:
    return json.dumps(json.loads(record.text), indent=2, ensure_ascii=False)


def _csv(container: Container, records: Iterable[Record]) -> Iterator[bytes]:
    buffer = io.StringIO()
    dotted = container == "csv_dotted"
    rows = csv.writer(buffer, delimiter=";" if dotted else ",", lineterminator="\r\n" if dotted else "\n")
    if dotted:
        buffer.write("\ufeff")
        rows.writerow((*_FLAT, *(f"metrics.{name}" for name in _METRICS), "note"))
    else:
        rows.writerow((*_FLAT, *_METRICS))
    for index, record in enumerate(records):
        row = flat_row(record)
        # The writer would give None and True in Python's words; JSON's are what a landing zone gets.
        cells = ["" if row.get(name) is None else row[name] for name in (*_FLAT, *_METRICS)]
        rows.writerow([*cells, f'bay {index}; "east" side,\nlevel 2'] if dotted else cells)
        if buffer.tell() > 1_000_000:
            yield _drained(buffer)
    yield _drained(buffer)


def _drained(buffer: io.StringIO) -> bytes:
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content


def flat_row(record: Record) -> dict[str, Any]:
    """A flat record with its metrics at the top."""
    row: dict[str, Any] = json.loads(record.text)
    metrics: Mapping[str, Any] = row.pop("metrics", {})
    return {**row, **metrics}


_TIMES = [("extraction_timestamp", pa.string()), ("source_system", pa.string())]


def _block(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([*_TIMES, ("data", pa.struct(list(fields.items())))])


_FLAT_SCHEMA = pa.schema(
    [(name, pa.int32() if name == "year" else pa.string()) for name in _FLAT]
    + [(name, pa.float64()) for name in _METRICS]
)
_NESTED_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_primary_timestamp", pa.string()),
        ("processing_timestamp", pa.string()),
        ("carChassis", pa.string()),
        (
            "vehicle_static_info",
            _block(
                Model=pa.string(),
                year=pa.int32(),
                ModelYear=pa.int32(),
                Manufacturer=pa.string(),
                gasType=pa.string(),
                fuelCapacityLiters=pa.int32(),
                color=pa.string(),
            ),
        ),
        (
            "vehicle_dynamic_state",
            pa.struct(
                [
                    ("insurance_info", _block(provider=pa.string(), policy_number=pa.string(), validUntil=pa.string())),
                    (
                        "maintenance_info",
                        _block(
                            last_service_date=pa.string(),
                            last_service_mileage=pa.int64(),
                            oil_life_percentage=pa.float64(),
                        ),
                    ),
                ]
            ),
        ),
        (
            "current_rental_agreement",
            _block(agreement_id=pa.string(), customer_id=pa.string(), rental_start_date=pa.string()),
        ),
        (
            "trip_data",
            pa.struct(
                [
                    (
                        "trip_summary",
                        _block(
                            tripStartTimestamp=pa.string(),
                            tripEndTimestamp=pa.string(),
                            tripMileage=pa.float64(),
                            tripTimeMinutes=pa.int32(),
                            tripFuelLiters=pa.float64(),
                            tripMaxSpeedKm=pa.int32(),
                        ),
                    ),
                    (
                        "vehicle_telemetry_snapshot",
                        _block(
                            currentMileage=pa.int64(),
                            fuelAvailableLiters=pa.float64(),
                            engineTempCelsius=pa.int32(),
                            oilTempCelsius=pa.int32(),
                            batteryChargePerc=pa.int32(),
                            tire_pressures_psi=pa.struct(
                                [
                                    ("front_left", pa.float64()),
                                    ("front_right", pa.float64()),
                                    ("rear_left", pa.float64()),
                                    ("rear_right", pa.float64()),
                                ]
                            ),
                        ),
                    ),
                ]
            ),
        ),
    ]
)


def _parquet(records: Iterable[Record], file: IO[bytes], digest: xxhash.xxh3_128) -> None:
    stream = iter(records)
    batch = list(islice(stream, _BATCH))
    flat = not batch or batch[0].shape == "car_metrics"
    schema = _FLAT_SCHEMA if flat else _NESTED_SCHEMA
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch:
            for record in batch:
                digest.update(_bytes(record))
            rows = [flat_row(record) if flat else json.loads(record.text) for record in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            batch = list(islice(stream, _BATCH))
