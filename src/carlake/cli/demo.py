"""The demo: a fleet with faults through the whole of carlake, and what a person should look at."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from carlake.cli.invocation import program
from carlake.cli.lake_screens import changed_tables, verified_line
from carlake.cli.report import counts_line, run_document, show_problems
from carlake.cli.screen import BAD, GOOD, QUIET, STRONG, WARN, Column, Screen, count, number, seconds, size
from carlake.errors import CarlakeError

if TYPE_CHECKING:
    from carlake.cli.invocation import Invocation
    from carlake.lakehouse import Lakehouse
    from carlake.simulator.files import Simulated

DEMO_LAKE = "demo-lake"
_MARK = "demo.json"  # in the lake's own folder: it is the demo's, and from which day on
_DAYS, _CARS, _SHOWN = 90, 12, 6
_STATUS = {"EXPIRED": BAD, "EXPIRING_IN_90_DAYS": WARN, "ACTIVE": GOOD}
_STATE = f"""SELECT car_chassis, concat_ws(' ', manufacturer, model) AS car, current_mileage_km, fuel_available_liters,
  insurance_status, event_timestamp FROM gold_car_current_state ORDER BY car_chassis LIMIT {_SHOWN}"""
_FUEL = f"""SELECT car_chassis, concat_ws(' ', manufacturer, model) AS car, year_month, total_km_driven,
  total_fuel_liters, avg_fuel_efficiency_kmpl, trip_count
  FROM gold_fuel_efficiency_monthly ORDER BY car_chassis, year_month LIMIT {_SHOWN}"""
_ALERTS = f"""SELECT event_timestamp, car_chassis, alert_type, alert_severity, alert_value, threshold, unit
  FROM gold_performance_alerts_log
  QUALIFY row_number() OVER (PARTITION BY alert_type, alert_severity ORDER BY event_timestamp DESC, alert_id) = 1
  ORDER BY event_timestamp DESC, alert_id LIMIT {_SHOWN}"""
_ALERT_TYPES = (
    "SELECT alert_type, count(*) AS alerts FROM gold_performance_alerts_log GROUP BY alert_type ORDER BY alerts DESC"
)


def run_demo(invocation: Invocation, *, events: int, new: bool, yes: bool) -> None:
    """Make the lake (or take the demo's own again), simulate, run, and show. Raises CarlakeError for a foreign folder."""
    folder = invocation.folder
    mark = folder / ".carlake" / _MARK
    start, again = _start(folder, mark), mark.exists()
    if again and new:
        _remove(folder, yes)
        start, again = _today() - timedelta(days=_DAYS), False
    screen = invocation.screen
    screen.line(("carlake demo", STRONG), ("  files of car events in, three right tables out, exactly once", QUIET))
    screen.line()
    with invocation.create() as house:
        mark.write_text(json.dumps({"start": start.isoformat()}), encoding="utf-8")
        with invocation.working("Simulating a fleet"):
            fleet = _simulate(house, events, start)
        _show_fleet(screen, house, fleet, again)
        if changed_tables(house.tables()):
            with invocation.working("Rebuilding"):
                house.rebuild()  # the demo's lake follows the carlake that runs it
        with invocation.working("Running") as change:
            report = house.run(progress=lambda table, done: change(table))
        screen.line(("2  ", QUIET), ("Run", STRONG), f"  {report.status} in {seconds(report.seconds)}")
        if again and not report.records:
            screen.line("   ", ("The same files as before: every one was known, and added nothing.", GOOD))
        else:
            screen.line("   ", counts_line(report))
        show_problems(screen, report.problems)
        with invocation.working("Reading the tables"):
            tables = {name: house.query(sql).to_pylist() for name, sql in _QUERIES.items()}
            rows = {info.name: info.rows for info in house.tables()}
            reasons = house.quarantine_reasons().to_pylist()
        _show_gold(screen, tables, rows)
        _show_quarantine(screen, reasons, fleet, rows["quarantine_car_data"])
        with invocation.working("Checking every table"):
            verified = house.verify()
        screen.line()
        screen.line(("5  ", QUIET), verified_line(verified))
        screen.line(
            f"   {number(verified.records)} records = {number(verified.accepted)} accepted + "
            f"{number(verified.quarantined)} quarantined + {count(verified.duplicates, 'duplicate')}"
        )
        if invocation.json:
            invocation.document(
                {
                    "run": run_document(report, house.lake.location),
                    "tables": rows,
                    "quarantine": reasons,
                    "verified": verified.ok,
                }
            )
    car = tables["state"][0]["car_chassis"] if tables["state"] else "CAR"
    folder_given = "" if invocation.lake == DEMO_LAKE else f" {shlex.quote(invocation.lake)}"
    screen.next(
        [
            (invocation.hint("status"), "the lake at a glance"),
            (invocation.hint("trace", str(car)), "one car, back to its files"),
            (invocation.hint("query", "FROM gold_car_current_state"), "any SQL that reads"),
            (invocation.hint("quarantine"), "what was put aside, and why"),
            (f"{program()} demo{folder_given}", "once more: nothing changes"),
        ],
        title="Try next",
    )
    if report.status == "failed" or not verified.ok:
        raise typer.Exit(1)


_QUERIES = {"state": _STATE, "fuel": _FUEL, "alerts": _ALERTS, "types": _ALERT_TYPES}


def _today() -> date:
    return datetime.now(UTC).date()


def _start(folder: Path, mark: Path) -> date:
    """The first day of the demo's fleet: so that its last is today; the same again in a demo's lake that is there."""
    if mark.exists():
        try:
            return date.fromisoformat(json.loads(mark.read_text(encoding="utf-8"))["start"])
        except (ValueError, KeyError, TypeError):
            return _today() - timedelta(days=_DAYS)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CarlakeError(
            f"{folder} is there and is not the demo's; nothing was changed.", "Name another folder: carlake demo DIR"
        )
    return _today() - timedelta(days=_DAYS)


def _remove(folder: Path, yes: bool) -> None:
    if not yes:
        typer.confirm(f"Remove {folder.absolute()} and all in it?", abort=True, err=True)
    shutil.rmtree(folder)


def _simulate(house: Lakehouse, events: int, start: date) -> Simulated:
    from carlake.simulator.files import write
    from carlake.simulator.fleet import Fleet

    fleet = Fleet(events=events, cars=_CARS, days=_DAYS, start=start)
    return write(fleet, house.lake.landing, format="mixed")


def _show_fleet(screen: Screen, house: Lakehouse, fleet: Simulated, again: bool) -> None:
    screen.line(
        ("1  ", QUIET),
        ("Landed", STRONG),
        f"  {count(len(fleet.paths), 'file')}, {size(fleet.size)}, of a simulated fleet{' once more' if again else ''}",
    )
    screen.line("   ", (f"in {_short(house.lake.landing)}: JSON, NDJSON, CSV, Parquet, gzip, zstd,", QUIET))
    screen.line(
        "   ",
        (
            f"with {number(sum(fleet.bad.values()))} records spoilt on purpose and {number(fleet.duplicates)} duplicates",
            QUIET,
        ),
    )


def _show_gold(screen: Screen, tables: dict[str, list[dict[str, Any]]], rows: dict[str, int]) -> None:
    screen.line()
    screen.line(
        ("3  ", QUIET),
        ("The three gold tables", STRONG),
        f"  from {count(rows['silver_car_telemetry'], 'event')} in silver",
    )
    _title(screen, "gold_car_current_state", rows, "one row per car")
    screen.table(
        [
            Column("car"),
            Column("is a"),
            Column("km", right=True),
            Column("fuel l", right=True),
            Column("insurance"),
            Column("last seen"),
        ],
        [
            (
                row["car_chassis"],
                row["car"],
                _whole(row["current_mileage_km"]),
                _tenth(row["fuel_available_liters"]),
                Text(_word(row["insurance_status"]), style=_STATUS.get(row["insurance_status"], QUIET)),
                _day(row["event_timestamp"]),
            )
            for row in tables["state"]
        ],
        indent=3,
    )
    _title(screen, "gold_fuel_efficiency_monthly", rows, "one row per car and month")
    screen.table(
        [
            Column("car"),
            Column("is a"),
            Column("month"),
            Column("km", right=True),
            Column("litres", right=True),
            Column("km/l", right=True),
            Column("trips", right=True),
        ],
        [
            (
                row["car_chassis"],
                row["car"],
                row["year_month"],
                _tenth(row["total_km_driven"]),
                _tenth(row["total_fuel_liters"]),
                _tenth(row["avg_fuel_efficiency_kmpl"]),
                row["trip_count"],
            )
            for row in tables["fuel"]
        ],
        indent=3,
    )
    _title(screen, "gold_performance_alerts_log", rows, "one row per broken rule", "the newest of each kind")
    screen.table(
        [
            Column("day"),
            Column("car"),
            Column("alert"),
            Column("severity"),
            Column("value", right=True),
            Column("limit", right=True),
        ],
        [
            (
                _day(row["event_timestamp"]),
                row["car_chassis"],
                row["alert_type"],
                Text(row["alert_severity"], style=BAD if row["alert_severity"] == "CRITICAL" else WARN),
                _short_number(row["alert_value"]),
                f"{_whole(row['threshold'])} {row['unit'] or ''}".strip(),
            )
            for row in tables["alerts"]
        ],
        indent=3,
    )
    for line in _lines(f"{row['alert_type']} {number(row['alerts'])}" for row in tables["types"]):
        screen.line("   ", (line, QUIET))


def _show_quarantine(screen: Screen, reasons: list[dict[str, Any]], fleet: Simulated, rows: int) -> None:
    screen.line()
    spoilt = sum(fleet.bad.values())
    screen.line(
        ("4  ", QUIET),
        ("Quarantine", STRONG),
        f"  {count(rows, 'record')} put aside, verbatim, each with its reason",
    )
    for line in _lines(f"{row['reason']} {number(int(row['records']))}" for row in reasons):
        screen.line("   ", (line, QUIET))
    if rows == spoilt:
        screen.line("   ", (f"Exactly the {number(spoilt)} that were spoilt; nothing good was lost beside them.", GOOD))


def _title(screen: Screen, table: str, rows: dict[str, int], what: str, which: str = "") -> None:
    screen.line()
    which = which or f"{_SHOWN} of {number(rows[table])}"
    shown = f"; {which}" if rows[table] > _SHOWN else ""
    screen.line("   ", (table, STRONG), (f"  {what}{shown}", QUIET))


def _lines(items: Iterable[str], width: int = 74) -> list[str]:
    """Items one after the other, as many on a line as fit; none is broken."""
    return [line.replace("\0", " ") for line in wrap(", ".join(item.replace(" ", "\0") for item in items), width)]


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _day(value: Any) -> str | None:
    return f"{value.astimezone(UTC):%Y-%m-%d}" if value else None


def _short_number(value: Any) -> str | None:
    return _whole(value) if value is not None and value >= 1000 else _tenth(value)


def _whole(value: Any) -> str | None:
    return None if value is None else f"{value:,.0f}"


def _tenth(value: Any) -> str | None:
    return None if value is None else f"{value:,.1f}"


def _word(status: Any) -> str:
    return str(status or "UNKNOWN").replace("EXPIRING_IN_90_DAYS", "EXPIRING")
