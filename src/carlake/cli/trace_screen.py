"""How a trace looks to a person: gold at the top, below it the events, the records they come from and their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from carlake.cli.screen import GOOD, QUIET, STRONG, WARN, Column, Screen, count, number, one_line, size, time

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.look.traced import Event, LandedFile, Record, Trace, TracedRow, Written

_OUTCOME = {"current": GOOD, "quarantined": WARN, "pending": WARN}
_RECORDS_SHOWN, _GOLD_SHOWN = 20, 10
_FILES_FIT = 100


def show_trace(invocation: Invocation, found: Trace) -> None:
    """A trace, from gold back to the files."""
    screen = invocation.screen
    screen.heading(f"{found.kind.capitalize()} {one_line(found.key)}", _counts(found.counts))
    if found.gold:
        _section(screen, "gold")
        _show_gold_tables(screen, found)
    if found.kind == "car":
        _show_latest(invocation, found.events)
    else:
        for event in found.events:
            _show_event(screen, event)
    for file in found.files:
        _section(screen, "file")
        _show_file(screen, file, indent=2)
    if found.records:
        _show_records(screen, "records", found.records, found.counts.get("records", 0), cars=True)
    if found.quarantined:
        _show_records(screen, "in quarantine", found.quarantined)


def _section(screen: Screen, title: str) -> None:
    screen.line()
    screen.line((title, STRONG))


def _show_gold_tables(screen: Screen, found: Trace) -> None:
    """The rows of gold, those of one run together; of a file each with its car, of which there may be many."""
    of_file = found.kind == "file"
    groups = [
        (table, written, list(rows))
        for (table, written), rows in groupby(found.gold, lambda row: (row.table, row.written))
    ]
    for place, (table, written, rows) in enumerate(groups):
        screen.line("  ", table)
        for row in rows[:_GOLD_SHOWN]:
            screen.prose((_whose(row) if of_file else "") + _TELL.get(table, _all)(row.values), indent=4)
        screen.line("    ", (_written(written), QUIET))
        if all(other[0] != table for other in groups[place + 1 :]):
            kept = [len(group) for name, _, group in groups if name == table]
            shown = sum(min(rows_of_run, _GOLD_SHOWN) for rows_of_run in kept)
            _show_more(screen, shown, sum(kept), found.counts.get(_COUNTED.get(table, ""), 0) if of_file else 0, 4)


def _show_more(screen: Screen, shown: int, kept: int, total: int, indent: int) -> None:
    """How many are not shown; a trace does not keep all of a large file's."""
    if (more := max(total, kept) - shown) > 0:
        where = "see --json" if total <= kept else f"--json has the first {number(kept)}"
        screen.line(" " * indent, (f"and {number(more)} more: {where}", QUIET))


def _whose(row: TracedRow) -> str:
    event = f" event {one_line(str(row.values['event_id']))}" if row.table == "gold_performance_alerts_log" else ""
    return f"{one_line(str(row.values['car_chassis']))}{event}: "


def _show_latest(invocation: Invocation, events: Sequence[Event]) -> None:
    screen = invocation.screen
    if not events:
        return
    _section(screen, "latest events")
    files = screen.width >= _FILES_FIT
    columns = [Column("time"), Column("event")]
    columns += [Column("file", style=QUIET), Column("row", right=True, style=QUIET)] if files else []
    screen.table(
        columns,
        [
            (
                event.silver.values["event_timestamp"] if event.silver else None,
                one_line(event.event_id),
                *((_name(event.records[0].file), event.records[0].source_row) if files and event.records else ()),
            )
            for event in events
        ],
    )
    screen.next([(invocation.hint("trace", events[0].event_id), "one of them, back to its file")])


def _show_event(screen: Screen, event: Event) -> None:
    _section(screen, "silver")
    screen.line("  silver_car_telemetry  ", (f"car {one_line(event.car_chassis)}", QUIET))
    if event.silver is None:
        screen.line("    no row yet")
    else:
        values = event.silver.values
        screen.prose(
            f"event of {time(values['event_timestamp'])}, version {time(values['event_version'])}, "
            f"read by contract {values['contract']} {values['contract_version']}",
            indent=4,
        )
        screen.line("    ", (_written(event.silver.written), QUIET))
    _section(screen, f"bronze: {count(len(event.records), 'record')} of this event")
    for record in event.records:
        screen.line("  ", (record.outcome, _OUTCOME.get(record.outcome, "")), f"  {one_line(record.why)}")
        screen.line("    ", (f"row {number(record.source_row)} of", QUIET))
        _show_file(screen, record.file, indent=4)


def _show_file(screen: Screen, file: LandedFile, indent: int) -> None:
    before = " " * indent
    screen.line(before, one_line(file.source_uri))
    facts = [
        "" if file.source_size is None else size(file.source_size),
        "" if file.records is None else count(file.records, "record"),
        "" if file.source_modified_at is None else f"modified {time(file.source_modified_at)}",
        f"landed {time(file.ingested_at)}",
    ]
    screen.line(before, (", ".join(filter(None, facts)), QUIET))
    if file.archived:
        screen.line(before, (f"now at {one_line(file.archived)}", QUIET))
    screen.line(before, (f"source id {file.source_id}", QUIET))
    screen.line(before, (_written(file.written), QUIET))


def _show_records(screen: Screen, title: str, records: Sequence[Record], total: int = 0, *, cars: bool = False) -> None:
    _section(screen, title)
    screen.table(
        [
            Column("row", right=True),
            Column("outcome", whole=True),
            *([Column("car", whole=True, less=1)] if cars else []),
            Column("event", whole=True),
            Column("why", wrap=True, style=QUIET),
        ],
        [
            (
                record.source_row,
                Text(record.outcome, style=_OUTCOME.get(record.outcome, "")),
                *([record.car_chassis] if cars else []),
                record.event_id,
                Text(one_line(record.why)),
            )
            for record in records[:_RECORDS_SHOWN]
        ],
    )
    _show_more(screen, min(len(records), _RECORDS_SHOWN), len(records), total, 2)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in counts.items())


def _name(file: LandedFile) -> str:
    return one_line(file.source_uri.rstrip("/").rpartition("/")[2])


def _written(written: Written) -> str:
    if written.snapshot_id is None:
        return "by a run whose snapshot is not kept any more"
    return f"by run {written.run_id or 'unknown'}, snapshot {written.snapshot_id}"


def _state(values: Mapping[str, Any]) -> str:
    return (
        f"{_amount(values['current_mileage_km'], 'km')}, {_amount(values['fuel_available_liters'], 'l of fuel')}, "
        f"insurance {values['insurance_status']}, last event {_time(values['event_timestamp'])}"
    )


def _month(values: Mapping[str, Any]) -> str:
    return (
        f"{values['year_month']}: {_amount(values['total_km_driven'], 'km')}, "
        f"{_amount(values['total_fuel_liters'], 'l')}, {count(int(values['trip_count']), 'trip')}"
    )


def _alert(values: Mapping[str, Any]) -> str:
    return f"{values['alert_type']} {values['alert_severity']}: {values['alert_message']}"


_TELL: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "gold_car_current_state": _state,
    "gold_fuel_efficiency_monthly": _month,
    "gold_performance_alerts_log": _alert,
}

# What a trace counts the rows of a file by.
_COUNTED = {"gold_car_current_state": "cars", "gold_performance_alerts_log": "alerts"}


def _all(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _amount(value: Any, unit: str) -> str:
    return f"unknown {unit}" if value is None else f"{value:,.1f} {unit}"


def _time(value: Any) -> str:
    return "unknown" if value is None else time(value)
