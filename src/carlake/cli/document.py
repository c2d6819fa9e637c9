"""What a command found, as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from os import PathLike, fspath
from typing import Any

WATCHING = ("pid", "host", "started_at", "http")
"""What is told of a process that watches a lake."""


def plain(value: Any) -> Any:
    """`value` in JSON's own types.

    Dataclasses and mappings become objects, sequences and Arrow tables arrays; times are ISO 8601 in UTC with Z;
    decimals are numbers; what is not a finite number is null; bytes are text where they are UTF-8, else hexadecimal.
    """
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return plain(float(value)) if value % 1 else int(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if hasattr(value, "to_pylist"):
        return plain(value.to_pylist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    return str(value)


def instant(value: datetime) -> str:
    """ISO 8601 in UTC with Z; a time without a zone is taken for UTC. Microseconds only where there are any."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
