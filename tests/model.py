"""The whole meaning of a lake in plain, slow Python: what silver and gold have to hold after some objects have landed.

It is written from the design, with dicts, Decimal and datetime, and shares nothing with carlake's SQL: tests compare
the two. Lineage columns and times of computing are left out; everything else is there, row by row, in key order.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import xxhash

from carlake.tables.silver_car_telemetry import LANDED
from model_paths import FLAT, NESTED, OLDEST

Row = dict[str, Any]
Lake = dict[str, list[Row]]

SILVER = "silver_car_telemetry"
STATE = "gold_car_current_state"
MONTHLY = "gold_fuel_efficiency_monthly"
ALERTS = "gold_performance_alerts_log"

_SNAPSHOT_TIME = "%a, %d %b %Y %H:%M:%S"


def model(objects: Iterable[tuple[bytes, datetime]], today: date) -> Lake:
    """The tables after the objects, as (content, modification time), have landed in this order, on the UTC day `today`.

    Contents are uncompressed JSON texts: one, several, arrays, lines. Content that is known adds nothing, so a
    record's time is that of its object as first landed. Records that no contract accepts are left out.
    """
    known: set[bytes] = set()
    versions: list[tuple[bytes, datetime]] = []
    for content, modified_at in objects:
        digest = hashlib.sha256(content).digest()
        if digest not in known:
            known.add(digest)
            versions.extend((text, modified_at) for text in records_of(content))
    return model_of_records(versions, today)


def model_of_records(records: Iterable[tuple[bytes, datetime]], today: date) -> Lake:
    """The same, from the records' texts, each with its object's modification time."""
    events = silver(records)
    return {SILVER: events, STATE: state(events, today), MONTHLY: monthly(events), ALERTS: alerts(events)}


def records_of(content: bytes) -> list[bytes]:
    """The texts of the records in an object; where the whole cannot be read as JSON values, its lines."""
    try:
        text = content.decode()
        spans = list(_spans(text))
    except ValueError:
        return [line for line in content.splitlines() if line.strip()]
    return [text[start:end].encode() for start, end in spans]


def _spans(text: str) -> Iterable[tuple[int, int]]:
    decoder = json.JSONDecoder()
    position = 0
    while True:
        while (
            position < len(text) and text[position] in " \t\r\n,]"
        ):  # separators, also those of an array entered below
            position += 1
        if position == len(text):
            return
        if text[position] == "[":
            position += 1
            continue
        _, end = decoder.raw_decode(text, position)
        yield position, end
        position = end


def accepted(text: bytes, modified_at: datetime) -> Row | None:
    """The silver row of one record, with its `record_hash`, or None where it belongs in quarantine."""
    try:
        record = json.loads(text.decode(), parse_constant=_refuse)
        paths, time_format = _shape(record)
        row = {column.name: None for column in LANDED} | {
            name: _value(record, path, name, time_format) for name, path in paths.items()
        }
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    if not row["car_chassis"] or row["event_timestamp"] is None or (paths is NESTED and not row["event_id"]):
        return None
    row["event_id"] = row["event_id"] or f"{row['car_chassis']}_{row['event_primary_timestamp']}"
    row["event_version"] = row["processing_timestamp"] or modified_at

    distance, fuel, minutes = row["trip_distance_km"], row["trip_fuel_consumed_liters"], row["trip_duration_minutes"]
    row["fuel_efficiency_l_per_100km"] = fuel / distance * 100 if distance and fuel is not None else None
    row["average_speed_calculated_kmh"] = distance / (minutes / 60) if minutes and distance is not None else None
    life = row["oil_life_percentage"]
    row["oil_status"] = None if life is None else "CRITICAL" if life < 20 else "LOW" if life < 50 else "OK"
    row["event_year"], row["event_month"], row["event_day"] = row["event_timestamp"].timetuple()[:3]
    row["record_hash"] = xxhash.xxh3_128_hexdigest(text)
    return row


def silver(records: Iterable[tuple[bytes, datetime]]) -> list[Row]:
    """Of each car's event the version that is greatest by (event_version, record_hash)."""
    newest: dict[tuple[str, str], Row] = {}
    for text, modified_at in records:
        row = accepted(text, modified_at)
        if row is None:
            continue
        key = (row["car_chassis"], row["event_id"])
        if key not in newest or _version(row) > _version(newest[key]):
            newest[key] = row
    return [{name: value for name, value in newest[key].items() if name != "record_hash"} for key in sorted(newest)]


def state(events: Sequence[Row], today: date) -> list[Row]:
    """gold_car_current_state: each value from the car's latest event that has it."""
    rows = []
    for (car,), of_car in _groups(events, lambda event: (event["car_chassis"],)):
        latest_first = sorted(of_car, key=_recency, reverse=True)
        insured = _first(
            latest_first, lambda e: e["insurance_provider"] is not None or e["insurance_valid_until"] is not None
        )
        read = _with(latest_first, "current_mileage_km") or _with(latest_first, "fuel_available_liters")
        until: date | None = insured.get("insurance_valid_until")
        days_left = None if until is None else (until - today).days
        if days_left is None:
            status = "UNKNOWN"
        elif days_left < 0:
            status = "EXPIRED"
        elif days_left <= 90:
            status = "EXPIRING_IN_90_DAYS"
        else:
            status = "ACTIVE"
        rows.append(
            {
                "car_chassis": car,
                **{name: _with(latest_first, name).get(name) for name in ("manufacturer", "model", "year", "gas_type")},
                "insurance_provider": insured.get("insurance_provider"),
                "insurance_valid_until": until,
                "current_mileage_km": _with(latest_first, "current_mileage_km").get("current_mileage_km"),
                "fuel_available_liters": _with(latest_first, "fuel_available_liters").get("fuel_available_liters"),
                "telemetry_timestamp": read.get("telemetry_timestamp"),
                "insurance_status": status,
                "insurance_days_expired": -days_left if status == "EXPIRED" and days_left is not None else None,
                "event_timestamp": latest_first[0]["event_timestamp"],
            }
        )
    return rows


def monthly(events: Sequence[Row]) -> list[Row]:
    """gold_fuel_efficiency_monthly: sums of the month's trips, in thousandths."""
    rows = []
    by_month = _groups(events, lambda e: (e["car_chassis"], f"{e['event_year']}-{e['event_month']:02d}"))
    for (car, month), of_month in by_month:
        latest_first = sorted(of_month, key=_recency, reverse=True)
        trips = [
            event
            for event in of_month
            if event["trip_distance_km"] is not None or event["trip_fuel_consumed_liters"] is not None
        ]
        if not trips:
            continue
        kilometers = sum((rounded(trip["trip_distance_km"] or 0.0, 3) for trip in trips), Decimal("0.000"))
        litres = sum((rounded(trip["trip_fuel_consumed_liters"] or 0.0, 3) for trip in trips), Decimal("0.000"))
        rows.append(
            {
                "car_chassis": car,
                "manufacturer": _with(latest_first, "manufacturer").get("manufacturer"),
                "model": _with(latest_first, "model").get("model"),
                "year_month": month,
                "total_km_driven": kilometers,
                "total_fuel_liters": litres,
                "avg_fuel_efficiency_kmpl": float(kilometers) / float(litres) if litres > 0 else None,
                "trip_count": len(trips),
            }
        )
    return rows


def alerts(events: Sequence[Row]) -> list[Row]:
    """gold_performance_alerts_log, by the shipped rules: one row for every rule that an event breaks."""
    rows = []
    for event in events:
        tank = event["fuel_capacity_liters"] != 0  # an unknown capacity counts as a tank
        # (type, title, unit, value, (severity, threshold) worst first, whether less is worse)
        for kind, title, unit, value, tiers, below in (
            (
                "OVERHEAT_ENGINE",
                "Engine temperature",
                "Cel",
                event["engine_temp_celsius"],
                [("CRITICAL", 100.0)],
                False,
            ),
            ("OVERHEAT_OIL", "Oil temperature", "Cel", event["oil_temp_celsius"], [("CRITICAL", 110.0)], False),
            (
                "SPEEDING_ALERT",
                "Highest speed of the trip",
                "km/h",
                event["trip_max_speed_kmh"],
                [("WARNING", 110.0)],
                False,
            ),
            (
                "LOW_FUEL",
                "Fuel in the tank",
                "L",
                event["fuel_available_liters"] if tank else None,
                [("CRITICAL", 5.0), ("WARNING", 10.0)],
                True,
            ),
            ("HIGH_MILEAGE", "Mileage", "km", event["current_mileage_km"], [("WARNING", 100000.0)], False),
        ):
            if value is None:
                continue
            broken = [tier for tier in tiers if (value < tier[1] if below else value > tier[1])]
            if not broken:
                continue
            severity, threshold = broken[0]
            identity = f"{event['car_chassis']}|{event['event_id']}|{kind}"
            side = "below" if below else "above"
            rows.append(
                {
                    "alert_id": hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest(),
                    "car_chassis": event["car_chassis"],
                    "event_id": event["event_id"],
                    "alert_type": kind,
                    "alert_severity": severity,
                    "alert_value": value,
                    "threshold": threshold,
                    "unit": unit,
                    "alert_message": f"{title} {rounded(value, 1)} {unit} is {side} {rounded(threshold, 1)} {unit}",
                    "current_mileage_km": event["current_mileage_km"],
                    "fuel_available_liters": event["fuel_available_liters"],
                    "telemetry_timestamp": event["telemetry_timestamp"],
                    "event_timestamp": event["event_timestamp"],
                    "alert_date": event["event_timestamp"].date(),
                    "event_year": event["event_year"],
                    "event_month": event["event_month"],
                    "event_day": event["event_day"],
                }
            )
    return sorted(rows, key=lambda row: (row["car_chassis"], row["event_id"], row["alert_type"]))


def rounded(value: float, places: int) -> Decimal:
    """A double as a decimal of so many places: its shortest text, rounded half away from zero."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _version(row: Row) -> tuple[datetime, str]:
    return row["event_version"], row["record_hash"]


def _recency(event: Row) -> tuple[datetime, float, str]:
    mileage = event["current_mileage_km"]
    return event["event_timestamp"], -math.inf if mileage is None else mileage, event["event_id"]


def _first(events: Sequence[Row], is_wanted: Any) -> Row:
    return next((event for event in events if is_wanted(event)), {})


def _with(events: Sequence[Row], name: str) -> Row:
    return _first(events, lambda event: event[name] is not None)


def _groups(events: Sequence[Row], key: Any) -> list[tuple[tuple[str, ...], list[Row]]]:
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return sorted(groups.items())


def _shape(record: Any) -> tuple[dict[str, Any], str]:
    """Where the record's values are, and how it writes times ("" is ISO 8601 with a zone)."""
    if not isinstance(record, dict):
        raise ValueError
    if "event_primary_timestamp" in record:
        return NESTED, ""
    if "telemetryTimestamp" in record:
        return FLAT, ""
    if "metricTimestamp" in record["metrics"]:
        return OLDEST, _SNAPSHOT_TIME
    raise ValueError


def _value(record: Any, path: str | tuple[str, ...], column_name: str, time_format: str) -> Any:
    column = next(column for column in LANDED if column.name == column_name)
    value = None
    for each in (path,) if isinstance(path, str) else path:
        value = record
        for step in each.split("."):
            if value is not None and not isinstance(value, dict):
                raise ValueError(f"{each} goes through {value!r}")
            value = value.get(step) if value is not None else None
        if value is not None:
            break
    if value is None:
        return None
    if column.type in ("string", "timestamptz", "date"):
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not text")
        if column.type == "string":
            return value
        if column.type == "date":
            return date.fromisoformat(value)
        time = (
            datetime.strptime(value, time_format).replace(tzinfo=UTC) if time_format else datetime.fromisoformat(value)
        )
        if time.tzinfo is None:
            raise ValueError(f"{value!r} has no zone")
        return time.astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**63:
        raise ValueError(f"{value!r} is not a number of 64 bits")
    if column.type == "int" and value != int(value):
        raise ValueError(f"{value!r} is not whole")
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    if not low <= value <= high:
        raise ValueError(f"{value!r} is out of range")
    return int(value) if column.type == "int" else float(value)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
