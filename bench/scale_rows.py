"""What rows cost in a lake that is there: looking keys up, telling versions apart, writing files anew, correcting events.

Run in a process of its own; prints JSON. The lake is one event the richer for each correction afterwards.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carlake.engines.manifests import live_files
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.tables.declare import SILVER

KEYS = 1_000


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with Lakehouse.open(options.lake, Settings(threads=options.threads, maintenance="off")) as house:
        found = {"tables": tables(house), "lookup": lookup(house), "rewrite": rewrite(house)}
        found |= corrected(house, options.lake.parent / f"{options.lake.name}-corrections.ndjson")
    json.dump(found, sys.stdout)


def tables(house: Lakehouse) -> dict[str, dict[str, int]]:
    """Rows, files and bytes of each table."""
    found = {}
    for name in house.declared:
        iceberg = house.context().find(name)
        live = live_files(iceberg, iceberg.metadata.current_snapshot_id) if iceberg else []
        found[name] = {
            "rows": sum(file.record_count for file in live),
            "files": len(live),
            "bytes": sum(file.file_size_in_bytes for file in live),
        }
    return found


def lookup(house: Lakehouse) -> dict[str, float]:
    """A thousand events that are there, looked up by their keys."""
    engine, table = house.engine, house.declared[SILVER]
    with engine.session():
        head = engine.load(SILVER).metadata.current_snapshot_id
        engine.find(table, head, _keys(house))  # so that the manifests are read
        keys = _keys(house)
        cpu, hits = timed(lambda: engine.find(table, head, keys))
        assert hits is not None
        assert engine.count(hits) == KEYS
        return {"cpu": cpu, "rows": _rows(house)}


def rewrite(house: Lakehouse) -> dict[str, float]:
    """Every file written anew, as compaction does it."""
    engine, table = house.engine, house.declared[SILVER]
    with engine.session():
        iceberg = engine.load(SILVER)
        head = iceberg.metadata.current_snapshot_id
        files = live_files(iceberg, head)
        cpu, written = timed(lambda: engine.rewrite(table, head, [file.file_path for file in files]))
        found = {"cpu": cpu, "rows": written.rows_before, "bytes": written.bytes_before}
        written.abandon()
        return found


def corrected(house: Lakehouse, file: Path) -> dict[str, dict[str, float]]:
    """Corrections of a thousand events of every day and car: the run that takes them in, and the difference it made."""
    sql = f"""
        SELECT b.raw FROM bronze_car_data AS b JOIN
        (SELECT source_id, source_row FROM silver_car_telemetry ORDER BY hash(event_id) LIMIT {KEYS}) AS s
        ON b.source_id = s.source_id AND b.source_row = s.source_row"""
    records = [json.loads(raw) for raw in house.query(sql).column("raw").to_pylist()]
    lines = [json.dumps({**record, "processing_timestamp": "2030-01-01T00:00:00Z"}) for record in records]
    file.write_text("\n".join(lines), encoding="utf-8")
    before = house.engine.load(SILVER).metadata.current_snapshot_id
    house.engine.forget()
    cpu, report = timed(lambda: house.run([str(file)]))
    assert report.status == "succeeded", report
    engine = house.engine
    with engine.session():
        iceberg = engine.load(SILVER)
        head = iceberg.metadata.current_snapshot_id
        summary = iceberg.current_snapshot().summary.additional_properties
        carried = int(summary.get("added-records", 0))
        took, changed = timed(lambda: engine.diff(SILVER, before, head))
        assert changed is not None
        assert changed.rows_added == changed.rows_gone == KEYS
        rows = carried + int(summary.get("deleted-records", 0))
        return {
            "correction": {
                "cpu": cpu,
                "rows": carried,
                "changed": changed.rows_added,
                "files": int(summary["added-data-files"]),
            },
            "diff": {"cpu": took, "rows": rows},
        }


def _keys(house: Lakehouse) -> str:
    sql = f"SELECT car_chassis, event_id FROM silver_car_telemetry ORDER BY hash(event_id) LIMIT {KEYS}"
    return house.engine.table(house.query(sql))


def _rows(house: Lakehouse) -> int:
    return sum(
        f.record_count
        for f in live_files(house.engine.load(SILVER), house.engine.load(SILVER).metadata.current_snapshot_id)
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, and what it gave."""
    started = time.process_time()
    given = work()
    return time.process_time() - started, given


if __name__ == "__main__":
    main()
