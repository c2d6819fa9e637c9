"""What a trace found, as plain data: rows of gold, the silver rows behind them, the records behind those, their files."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

Outcome = Literal["current", "superseded", "duplicate", "quarantined", "pending"]
"""What became of a record.

current      it is its event's row in silver
superseded   another record of the event is newer
duplicate    it says the same as the current record, which was landed before it
quarantined  no contract accepts it
pending      silver has not read it yet
"""


@dataclass(frozen=True)
class Written:
    """The snapshot in which a row first was as it is, and the run that made it; None where history is gone.

    A later run that wrote the row's file anew, with the row in it as it was, did not make it.
    """

    snapshot_id: int | None = None
    run_id: str | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class TracedRow:
    """One row of a table."""

    table: str
    values: Mapping[str, Any]
    written: Written


@dataclass(frozen=True)
class LandedFile:
    """One landed object.

    archived  where it lies in the archive; None where it was left, deleted, or is on its way
    records   how many records it has, where they were counted
    """

    source_uri: str
    source_id: str
    source_size: int | None
    source_modified_at: datetime | None
    ingested_at: datetime
    archived: str | None
    written: Written
    records: int | None = None


@dataclass(frozen=True)
class Record:
    """One record of a landed object, and what became of it; `why` says it in words. source_row counts from 0."""

    outcome: Outcome
    why: str
    file: LandedFile
    source_row: int
    event_id: str | None
    car_chassis: str | None
    event_version: datetime | None
    record_hash: str | None
    contract: str | None


@dataclass(frozen=True)
class Event:
    """One event of one car: its row in silver (None where no record was accepted) and its records, the best first."""

    car_chassis: str
    event_id: str
    silver: TracedRow | None
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Trace:
    """Where something comes from and where it went.

    key         what was asked for
    kind        what it is: an event id, a car, or a landed file
    gold        the rows of gold that the events are in; of a car all but its alerts, which `counts` has by type
    events      the events; of a car the latest ones
    files       the landed files, where files were asked for
    records     the first records of those files; `counts` counts all of them
    quarantined records in quarantine that name the event or the car
    counts      how many there are in all, by name
    """

    key: str
    kind: Literal["event", "car", "file"]
    gold: tuple[TracedRow, ...] = ()
    events: tuple[Event, ...] = ()
    files: tuple[LandedFile, ...] = ()
    records: tuple[Record, ...] = ()
    quarantined: tuple[Record, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 with Z, decimals as numbers, bytes as base64."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def lines(self) -> list[str]:
        """For people: indented lines, from gold back to the files."""
        return list(_lines(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value


def _time(value: datetime | None) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value is not None else "unknown"


def shown(text: object) -> str:
    """Landed text on one line, with what would steer a terminal as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


# -- lines -------------------------------------------------------------------------------------------------------------


def _lines(trace: Trace) -> Iterator[str]:
    counts = ", ".join(f"{name} {count}" for name, count in trace.counts.items())
    yield f"{trace.kind} {shown(trace.key)}" + (f": {counts}" if counts else "")
    for row in trace.gold:
        yield f"  {row.table}: {_gold(row)}"
        yield f"    {_written(row.written)}"
    for event in trace.events:
        yield from _event(event, trace.kind)
    for file in trace.files:
        yield from _file(file, "  ")
    for record in (*trace.records, *trace.quarantined):
        name = f"event {shown(record.event_id)} of car {shown(record.car_chassis)}" if record.event_id else "no event"
        place = f"  row {record.source_row}" + ("" if trace.files else f" of {shown(record.file.source_uri)}")
        yield f"{place}: {record.outcome}, {name}; {shown(record.why)}"


def _event(event: Event, kind: str) -> Iterator[str]:
    yield f"  event {shown(event.event_id)} of car {shown(event.car_chassis)}"
    if event.silver is None:
        yield "    silver_car_telemetry: no row"
    else:
        values = event.silver.values
        yield (
            f"    silver_car_telemetry: event time {_time(values['event_timestamp'])}, version "
            f"{_time(values['event_version'])}, contract {values['contract']} {values['contract_version']}"
        )
        if kind != "car":
            yield f"      {_written(event.silver.written)}"
    for record in event.records:
        yield f"    {record.outcome}: row {record.source_row}, {shown(record.why)}"
        yield from _file(record.file, "      ")


def _file(file: LandedFile, indent: str) -> Iterator[str]:
    records = f", {file.records} records" if file.records is not None else ""
    yield f"{indent}file {shown(file.source_uri)} ({file.source_size} bytes, modified {_time(file.source_modified_at)}{records})"
    if file.archived:
        yield f"{indent}archived as {shown(file.archived)}"
    yield f"{indent}source id {file.source_id}, landed {_time(file.ingested_at)}, {_written(file.written)}"


def _written(written: Written) -> str:
    if written.snapshot_id is None:
        return "written by a run whose snapshot is not kept any more"
    return f"written by run {written.run_id or 'unknown'}, snapshot {written.snapshot_id}, {_time(written.at)}"


_TOLD = {
    "gold_car_current_state": ("event_timestamp", "current_mileage_km", "fuel_available_liters", "insurance_status"),
    "gold_fuel_efficiency_monthly": ("year_month", "trip_count", "total_km_driven", "total_fuel_liters"),
    "gold_performance_alerts_log": ("alert_type", "alert_severity", "alert_message"),
}


def _gold(row: TracedRow) -> str:
    parts = []
    for name in _TOLD.get(row.table, tuple(row.values)):
        value = row.values[name]
        parts.append(
            f"{name} {_time(value) if isinstance(value, datetime) else 'unknown' if value is None else shown(value)}"
        )
    return ", ".join(parts)
