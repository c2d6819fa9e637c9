"""Lakes for tests: records by their silver columns, objects with a time of their own, and what the tables then hold."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from carlake.refresh.plan import Bookmark
from carlake.refresh.report import RunReport, Step
from carlake.settings import Settings
from carlake.tables.silver_car_telemetry import LINEAGE
from model import ALERTS, FLAT, MONTHLY, NESTED, OLDEST, SILVER, STATE, Lake, model_of_records

BRONZE, QUARANTINE, OPS_RUNS = "bronze_car_data", "quarantine_car_data", "ops_runs"
TODAY = date(2025, 11, 1)
NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
MODIFIED = datetime(2025, 10, 31, 8, tzinfo=UTC)

Landed = tuple[str, datetime]
"""A record's text and the modification time of its object."""


def nested(car: str, event: str, at: str, processed: str | None = None, /, **columns: Any) -> str:
    """A record of the nested shape; further values by the silver column they end in."""
    own = {"car_chassis": car, "event_id": event, "event_timestamp": at, "processing_timestamp": processed}
    return _record(NESTED, own | columns)


def flat(car: str, at: str, /, **columns: Any) -> str:
    """A record of the flat shape."""
    return _record(FLAT, {"car_chassis": car, "event_timestamp": at} | columns)


def oldest(car: str, at: str, /, **columns: Any) -> str:
    """A record of the oldest shape; `at` as it writes times."""
    return _record(OLDEST, {"car_chassis": car, "event_timestamp": at} | columns)


def _record(paths: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    record: dict[str, Any] = {}
    for column, value in columns.items():
        path = paths[column]
        *blocks, field = (path if isinstance(path, str) else path[0]).split(".")
        inner = record
        for block in blocks:
            inner = inner.setdefault(block, {})
        inner[field] = value
    return json.dumps(record, ensure_ascii=False)


def truck(*fields: str) -> str:
    """A contract of a shape that none of the shipped ones knows, with these fields beside the car's."""
    return "\n".join(
        [
            "contract: truck",
            "version: 1",
            "description: Trucks of another maker.",
            "recognised_by:",
            "  - [truck.vin]",
            "fields:",
            "  car_chassis: {path: truck.vin, required: true}",
            *(f"  {field}" for field in fields),
            "",
        ]
    )


def put(path: Path, *records: str | bytes, modified: datetime = MODIFIED) -> Path:
    """An object of these records, one a line, with its modification time."""
    content = b"\n".join(record.encode() if isinstance(record, str) else record for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


def lakehouse(folder: Path, settings: Settings | None = None, *, at: datetime = NOON) -> Lakehouse:
    """The lake in a folder, made if it is not there, at a fixed time of the clock."""
    return Lakehouse.create(folder, settings or Settings(threads=1), clock=lambda: at)


def held(house: Lakehouse) -> Lake:
    """Silver and gold as the model gives them, read by PyIceberg: no lineage, no volatile columns, in key order."""
    return {name: rows_of(house, name) for name in (SILVER, STATE, MONTHLY, ALERTS)}


def rows_of(house: Lakehouse, name: str) -> list[dict[str, Any]]:
    """One table, as in `held`; no rows where it is not made yet."""
    table = house.declared[name]
    lineage = {column.name for column in LINEAGE}
    kept = [column for column in table.identity if column not in lineage or name in (BRONZE, QUARANTINE)]
    key = table.key
    identifier = f"{house.settings.namespace}.{name}"
    if not house.catalog.table_exists(identifier):
        return []
    rows: list[dict[str, Any]] = (
        house.catalog.load_table(identifier).scan(selected_fields=tuple(kept)).to_arrow().to_pylist()
    )
    return sorted(({name: row[name] for name in kept} for row in rows), key=lambda row: tuple(row[k] for k in key))


def expected(records: Iterable[Landed], today: date = TODAY) -> Lake:
    """What the model gives for records, each with its object's modification time."""
    return model_of_records([(text.encode(), modified) for text, modified in records], today)


def differences(house: Lakehouse, landed: Iterable[Landed]) -> list[str]:
    """The tables that are not what the model says of everything that landed, in words."""
    rows, wanted = held(house), expected(landed)
    return [
        f"{name}: {len(rows[name])} rows, wanted {len(wanted[name])}, or other values"
        for name in wanted
        if rows[name] != wanted[name]
    ]


def heads(house: Lakehouse) -> dict[str, int]:
    """The newest snapshot of each table that has one."""
    found = {}
    for name in house.declared:
        identifier = f"{house.settings.namespace}.{name}"
        if house.catalog.table_exists(identifier):
            head = house.catalog.load_table(identifier).current_snapshot()
            if head is not None:
                found[name] = head.snapshot_id
    return found


def iceberg(house: Lakehouse, name: str) -> Any:
    """A table through plain PyIceberg, as another program has it."""
    return house.catalog.load_table(f"{house.settings.namespace}.{name}")


def without_tags(table: Any) -> Any:
    """The table after the tags of its releases have gone, which keep their snapshots from expiry."""
    manage = table.manage_snapshots()
    for tag in [name for name in table.metadata.refs if name != "main"]:
        manage = manage.remove_tag(tag)
    manage.commit()
    return table.refresh()


def bookmark(house: Lakehouse, name: str) -> Bookmark | None:
    """The bookmark on a table's newest snapshot."""
    return Bookmark.of(iceberg(house, name).current_snapshot())


def step(report: RunReport, table: str) -> Step:
    """What a run did to a table."""
    return next(each for each in report.steps if each.table == table)


def clear(folder: Path) -> None:
    """Remove a lake or what else a test has made."""
    shutil.rmtree(folder, ignore_errors=True)
