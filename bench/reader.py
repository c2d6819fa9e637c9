"""A reader beside a watch: says when the rows that one event makes are visible in all three gold tables.

    reader.py LAKE

Reads one JSON object a line, {"event": ID, "car": CAR, "at": ISO TIME, "trips": N}, and answers each with the moment
(monotonic clock, which all processes share) at which the car's state was of that event or a later one, its month had so
many trips, and the event's alert was there. A line {"lake": true} is answered with what the lake holds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pyiceberg.expressions import And, EqualTo
from pyiceberg.table import Table

from carlake.lakehouse import Lakehouse

PAUSE_SECONDS = 0.005
LONGEST_SECONDS = 120
STATE, MONTHLY, ALERTS = "gold_car_current_state", "gold_fuel_efficiency_monthly", "gold_performance_alerts_log"


def main(path: str) -> None:
    """Answer line by line."""
    house = Lakehouse.open(path)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _lake(house) if "lake" in asked else {"seen": _seen(house, asked)}
        print(json.dumps(answer), flush=True)


def _seen(house: Lakehouse, asked: Mapping[str, Any]) -> float:
    until = time.monotonic() + LONGEST_SECONDS
    looked_at: dict[str, str] = {}
    missing = [STATE, MONTHLY, ALERTS]
    while time.monotonic() < until:
        for name in list(missing):
            identifier = f"{house.settings.namespace}.{name}"
            if not house.catalog.table_exists(identifier):
                continue
            table = house.catalog.load_table(identifier)
            if looked_at.get(name) != table.metadata_location:
                looked_at[name] = table.metadata_location
                if _holds(name, table, asked):
                    missing.remove(name)
        if not missing:
            return time.monotonic()
        time.sleep(PAUSE_SECONDS)
    raise SystemExit(f"{asked['event']} is not visible in {', '.join(missing)} after {LONGEST_SECONDS} s.")


def _holds(name: str, table: Table, asked: Mapping[str, Any]) -> bool:
    at = datetime.fromisoformat(asked["at"])
    car = EqualTo("car_chassis", asked["car"])
    if name == STATE:
        found = table.scan(row_filter=car, selected_fields=("event_timestamp",)).to_arrow()
        return any(row["event_timestamp"] >= at for row in found.to_pylist())
    if name == MONTHLY:
        of = And(car, EqualTo("year_month", f"{at:%Y-%m}"))
        found = table.scan(row_filter=of, selected_fields=("trip_count",)).to_arrow()
        return any(row["trip_count"] >= asked["trips"] for row in found.to_pylist())
    of = And(car, EqualTo("event_id", asked["event"]))
    return bool(table.scan(row_filter=of, selected_fields=("event_id",)).to_arrow().num_rows)


def _lake(house: Lakehouse) -> dict[str, int]:
    """Data files and snapshots of all tables, and bytes of metadata, live or not."""
    files = snapshots = 0
    for name in house.declared:
        identifier = f"{house.settings.namespace}.{name}"
        if house.catalog.table_exists(identifier):
            table = house.catalog.load_table(identifier)
            head = table.current_snapshot()
            snapshots += len(table.metadata.snapshots)
            if head is not None and head.summary is not None:
                files += int(head.summary.additional_properties.get("total-data-files", 0))
    metadata = sum(path.stat().st_size for path in Path(house.lake.warehouse).rglob("metadata/*") if path.exists())
    return {"files": files, "snapshots": snapshots, "metadata_bytes": metadata}


if __name__ == "__main__":
    main(sys.argv[1])
