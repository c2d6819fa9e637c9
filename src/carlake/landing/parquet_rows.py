"""Parquet files: each row becomes a JSON object.

A column name with dots is a path, as in the header of a CSV. Structs are nested objects, lists arrays, maps with text
keys objects. A timestamp is ISO 8601, with Z where the file says it is UTC, without a zone where it does not; dates and
times of day are ISO 8601; decimals are numbers; binary is base64; a duration is its count of units. Of an INT96 timestamp
the microseconds are kept, since its days reach far past what 64 bits of nanoseconds hold. NaN and Infinity
stay what they are and make the row a defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from carlake.landing import dotted
from carlake.landing.found import Found

Convert = Callable[[Any], Any]
_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 4096
_encode = msgspec.json.Encoder().encode


class BadParquetError(Exception):
    """The file, or the part of it that comes next, cannot be read."""


_FAULTS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError)


def parquet_rows(stream: BinaryIO) -> Iterator[Found]:
    """The rows of a Parquet file as JSON objects; raises BadParquetError behind the last rows that can be read."""
    try:
        # As nanoseconds, INT96 would wrap around without a word.
        file = pq.ParquetFile(stream, coerce_int96_timestamp_unit="us")
        schema = file.schema_arrow
        if len(set(schema.names)) < len(schema.names):
            raise BadParquetError("two columns have the same name")
        rows = file.metadata.num_rows
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    except _FAULTS as error:
        raise _bad(error) from error
    step = max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(rows, 1) // max(size, 1)))
    first: BadParquetError | None = None
    for group in groups:  # one by one, so that a damaged one costs no other its rows
        try:
            for batch in file.iter_batches(batch_size=step, row_groups=[group], use_threads=False):
                yield Found(list(_objects(batch)))
        except _FAULTS as error:
            bad = _bad(error)
            first = first or bad
    if first is not None:
        raise first


def _bad(error: Exception) -> BadParquetError:
    """What is wrong with a file. Raises the error again where the disk failed, not the file."""
    if isinstance(error, OSError) and error.errno:
        raise error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    bad = BadParquetError(lines[0][:200])
    bad.__cause__ = error
    return bad


def _objects(batch: pa.RecordBatch) -> Iterator[bytes]:
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        try:
            values, convert = _values(column, pa.string()), _converter(field.type)
        except UnicodeDecodeError:
            values, convert = _values(column, pa.binary()), _converter(field.type, text=_text)
        columns.append(values if convert is None else [None if value is None else convert(value) for value in values])
    names = batch.schema.names
    if any("." in name for name in names):
        tree = dotted.tree(names)
        for row in zip(*columns, strict=True):
            yield _encode(_nested(tree, row))
        return
    for row in zip(*columns, strict=True):
        yield _encode(dict(zip(names, row, strict=True)))


def _nested(tree: Mapping[str, object], row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: row[place] if isinstance(place, int) else _nested(cast("Mapping[str, object]", place), row)
        for name, place in tree.items()
    }


def _values(column: Any, text: pa.DataType) -> list[Any]:
    """Python values, with times as text, because Python has no nanoseconds."""
    for leaf in (_in_utc, partial(_plain, text=text)):
        column = column.cast(_with_leaves(column.type, leaf))
    values: list[Any] = column.to_pylist()
    return values


def _in_utc(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind


def _plain(kind: pa.DataType, text: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return pa.string()
    if pa.types.is_duration(kind):
        return pa.int64()
    return text if pa.types.is_string(kind) or pa.types.is_large_string(kind) else kind


def _with_leaves(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The type with each type that is not made of others replaced; dictionaries are given up."""
    if pa.types.is_dictionary(kind):
        return _with_leaves(kind.value_type, leaf)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_leaves(field.type, leaf)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_leaves(kind.key_type, leaf), _with_leaves(kind.item_type, leaf))
    if pa.types.is_fixed_size_list(kind):
        fixed: pa.DataType = pa.list_(kind.value_field.with_type(_with_leaves(kind.value_type, leaf)), kind.list_size)
        return fixed
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item = kind.value_field.with_type(_with_leaves(kind.value_type, leaf))
        return pa.list_(item) if pa.types.is_list(kind) else pa.large_list(item)
    return leaf(kind)


def _converter(kind: pa.DataType, text: Convert | None = None) -> Convert | None:
    """What turns a Python value of `kind` into what the encoder writes; None where it is that already."""
    if pa.types.is_dictionary(kind):
        return _converter(kind.value_type, text)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    if pa.types.is_timestamp(kind):
        return _zoned if kind.tz else _naive
    if pa.types.is_time(kind):
        return _short
    if pa.types.is_floating(kind):
        return _float
    if pa.types.is_decimal(kind):
        return _decimal
    if pa.types.is_struct(kind):
        return _struct([(field.name, _converter(field.type, text)) for field in kind])
    if pa.types.is_map(kind):
        return _map(_converter(kind.key_type, text), _converter(kind.item_type, text))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list(_converter(kind.value_type, text))
    return None


def _apply(convert: Convert | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)


def _struct(members: list[tuple[str, Convert | None]]) -> Convert | None:
    if all(convert is None for _, convert in members):
        return None
    return lambda value: {name: _apply(convert, value[name]) for name, convert in members}


def _list(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda values: [_apply(convert, value) for value in values]


def _map(key: Convert | None, item: Convert | None) -> Convert:
    def convert(pairs: list[tuple[Any, Any]]) -> Any:
        if all(isinstance(name, str) for name, _ in pairs):
            return {name: _apply(item, value) for name, value in pairs}
        return [[_apply(key, name), _apply(item, value)] for name, value in pairs]

    return convert


def _short(text: str) -> str:
    """A time without the zeros of a fraction that its unit, not its value, brings along."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _naive(text: str) -> str:
    return _short(text).replace(" ", "T", 1)


def _zoned(text: str) -> str:
    return _naive(text.removesuffix("Z")) + "Z"


def _float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return msgspec.Raw(b"NaN" if math.isnan(value) else b"Infinity" if value > 0 else b"-Infinity")


def _decimal(value: Any) -> msgspec.Raw:
    return msgspec.Raw(format(value, "f").encode())


def _text(value: bytes) -> Any:
    """Text that is not UTF-8 goes into the record as it is: the record is then not UTF-8, and says so."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return msgspec.Raw(_encode(value.decode("latin-1")).decode().encode("latin-1"))
