"""Which data files can hold a value: by the bounds of their columns, as manifests have them."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def admitting(files: Sequence[DataFile], iceberg: IcebergTable, column: str, values: Sequence[str]) -> list[DataFile]:
    """The files whose bounds of a text column admit one of `values`, which are sorted."""

    def admits(lower: str, upper: str) -> bool:
        # Iceberg and Python both order text by code point; bounds may be cut, the upper one is then rounded up.
        first = bisect.bisect_left(values, lower)
        return first < len(values) and values[first] <= upper

    return [f for f, bounds in _bounds(files, iceberg, column) if bounds is None or admits(*bounds)]


def overlapping(
    files: Sequence[DataFile], iceberg: IcebergTable, column: str, first: object, last: object
) -> list[DataFile]:
    """The files whose bounds of a column overlap `first` to `last`, both inclusive."""
    return [
        f
        for f, bounds in _bounds(files, iceberg, column)
        if bounds is None or (bounds[0] <= last and first <= bounds[1])
    ]


def within_bounds(
    files: Sequence[DataFile], iceberg: IcebergTable, column: str, first: datetime, last: datetime
) -> list[DataFile]:
    """The files whose bounds of a time column overlap `first` to `last`."""
    low, high = ((moment - _EPOCH) // timedelta(microseconds=1) for moment in (first, last))
    return overlapping(files, iceberg, column, low, high)


def _bounds(
    files: Sequence[DataFile], iceberg: IcebergTable, column: str
) -> list[tuple[DataFile, tuple[Any, Any] | None]]:
    field = iceberg.schema().find_field(column)
    found: list[tuple[DataFile, tuple[Any, Any] | None]] = []
    for file in files:
        lower, upper = file.lower_bounds.get(field.field_id), file.upper_bounds.get(field.field_id)
        if lower is None or upper is None:
            found.append((file, None))
        else:
            found.append((file, (from_bytes(field.field_type, lower), from_bytes(field.field_type, upper))))
    return found
