"""What a contract is: how a shape of record is recognised, and where each silver column lies in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from carlake.contracts.times import TimeFormat
from carlake.tables.silver_car_telemetry import parsed_columns
from carlake.tables.table import Column

Path = tuple[str, ...]

# A CSV row becomes a JSON object whose first member says so; its values are text, to be cast by the contract.
CSV_MARK = '{"$format":"csv"'
RESERVED_KEY = "$format"

DEFAULT_MAX_RECORD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Field:
    """Where one silver column lies in a record.

    paths     where it may lie: the first path with a value that is not null wins
    required  a record without it goes to quarantine
    format    strptime format of a time or day, None for ISO 8601
    zone      zone of a time that names none: UTC, +02:00 or an IANA name
    """

    column: Column
    paths: tuple[Path, ...]
    required: bool = False
    format: TimeFormat | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Contract:
    """One shape of record. A record has it if it has all keys (present and not null) of any line of `recognised_by`."""

    name: str
    version: int
    description: str
    recognised_by: tuple[tuple[Path, ...], ...]
    fields: tuple[Field, ...]
    columns: tuple[Column, ...] = ()

    @cached_property
    def field_of(self) -> dict[str, Field]:
        """Column name -> field."""
        return {field.column.name: field for field in self.fields}

    @cached_property
    def blocks(self) -> tuple[Path, ...]:
        """The objects that fields lie in, outer before inner, in the order of the fields."""
        found: dict[Path, None] = {}
        for field in self.fields:
            for path in field.paths:
                for depth in range(1, len(path)):
                    found[path[:depth]] = None
        return tuple(sorted(found, key=len))

    @cached_property
    def named(self) -> frozenset[Path]:
        """Every path that the contract names: its fields' and its recognition keys."""
        return frozenset(path for field in self.fields for path in field.paths) | {
            path for line in self.recognised_by for path in line
        }

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this shape."""
        return any(all(value_at(record, path) is not None for path in line) for line in self.recognised_by)

    def canonical(self, order: int) -> str:
        """All that decides which rows the contract makes, as JSON text that no rewording of the file changes.

        `order` is its place among the contracts: the first that recognises a record has it.
        """
        own = {column.name for column in self.columns}
        content = {
            "order": order,
            "version": self.version,
            "recognised_by": sorted(sorted(map(text_of, line)) for line in self.recognised_by),
            "fields": {
                field.column.name: {
                    "paths": [text_of(path) for path in field.paths],
                    "required": field.required,
                    "format": field.format.text if field.format else None,
                    "zone": field.zone,
                    # Silver's own columns are part of silver's definition already; the contract's are declared here.
                    **({"column": _declaration(field.column)} if field.column.name in own else {}),
                }
                for field in self.fields
            },
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, repr=False)
class ContractSet:
    """The contracts of a lake, in order: a record belongs to the first that recognises it.

    `max_record_bytes` is the length past which a record is not read at all.
    """

    contracts: tuple[Contract, ...]
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES

    def __repr__(self) -> str:
        return f"ContractSet({', '.join(f'{contract.name} v{contract.version}' for contract in self.contracts)})"

    @cached_property
    def canonical(self) -> dict[str, str]:
        """Contract name -> its canonical text: what the definitions of silver and quarantine depend on."""
        return {contract.name: contract.canonical(order) for order, contract in enumerate(self.contracts)}

    @cached_property
    def extra_columns(self) -> tuple[Column, ...]:
        """The columns that contracts add to silver, in order."""
        return tuple({column.name: column for contract in self.contracts for column in contract.columns}.values())

    @cached_property
    def parsed_columns(self) -> tuple[Column, ...]:
        """What parsing gives for each accepted record."""
        return parsed_columns(self.extra_columns)

    @cached_property
    def hints(self) -> dict[str, tuple[str, ...]]:
        """The key names that the event id, the car and the time lie under: enough to guess at them without parsing."""
        found: dict[str, tuple[str, ...]] = {}
        for name in ("event_id", "car_chassis", "event_timestamp"):
            fields = [contract.field_of[name] for contract in self.contracts if name in contract.field_of]
            found[name] = tuple(dict.fromkeys(path[-1] for field in fields for path in field.paths))
        return found

    def recognise(self, record: Mapping[str, Any]) -> Contract | None:
        """The contract that a record belongs to."""
        return next((contract for contract in self.contracts if contract.recognises(record)), None)


def _declaration(column: Column) -> list[Any]:
    return [column.type, column.unit, column.minimum, column.maximum, column.personal]


def value_at(record: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, None where it is missing, null, or below something that is not an object."""
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def path_of(text: str) -> Path:
    r"""Keys of a path written with dots; `\.` is a dot inside a key. Raises ValueError where a key is empty."""
    keys = tuple(key.replace("\0", ".") for key in text.replace("\\.", "\0").split("."))
    if (
        not all(keys)
        or any(key != key.strip() or not key.isprintable() for key in keys)
        or "\\" in text.replace("\\.", "")
    ):
        raise ValueError(text)
    return keys


def text_of(path: Path) -> str:
    """A path as it is written in a contract."""
    return ".".join(key.replace(".", "\\.") for key in path)
