"""What a user would write with dbt-duckdb: silver and gold as models, then each table published to Iceberg whole.

    dbt_iceberg.py FOLDER THREADS COLUMNS PATH...

One run a PATH (a file or a glob). Prints seconds and rows of each run as JSON. There is no bronze and no quarantine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from dbt.cli.main import dbtRunner
from pyiceberg.catalog.sql import SqlCatalog

PROJECT = Path(__file__).parent / "dbt"
TABLES = (
    "silver_car_telemetry",
    "gold_car_current_state",
    "gold_fuel_efficiency_monthly",
    "gold_performance_alerts_log",
)


def main(folder: Path, threads: str, columns: str, paths: list[str]) -> None:
    """Run dbt and publish, once a path."""
    (folder / "warehouse").mkdir(parents=True, exist_ok=True)
    database = folder / "fleet.duckdb"
    os.environ |= {"FLEET_DB": str(database), "FLEET_THREADS": threads}
    catalog = SqlCatalog("fleet", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder / 'warehouse'}")
    catalog.create_namespace_if_not_exists("fleet")
    types = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in json.loads(columns).items()) + "}"
    runs = []
    for path in paths:
        started, worked = time.perf_counter(), time.process_time()
        error = transformed(folder, path, types)
        if not error:
            publish(catalog, database)
        took = {"call_seconds": time.perf_counter() - started, "call_cpu_seconds": time.process_time() - worked}
        runs.append({**took, "error": error, "rows": rows(catalog)})
    print(json.dumps({"runs": runs}))


def transformed(folder: Path, path: str, types: str) -> str:
    """`dbt run`; the error, or nothing."""
    done = dbtRunner().invoke(
        [
            "--quiet", "--log-path", str(folder / "logs"), "run", "--project-dir", str(PROJECT), "--profiles-dir",
            str(PROJECT), "--target-path", str(folder / "target"), "--vars", json.dumps({"path": path, "columns": types}),
        ]
    )  # fmt: skip
    if done.success:
        return ""
    if done.exception is not None:
        return str(done.exception)
    found: Any = done.result
    return next((str(result.message) for result in found if result.status == "error"), "failed")


def publish(catalog: SqlCatalog, database: Path) -> None:
    """Every table anew, as one overwrite each."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in TABLES:
            table: pa.Table = connection.table(name).to_arrow_table()
            catalog.create_table_if_not_exists(f"fleet.{name}", table.schema).overwrite(table)


def rows(catalog: SqlCatalog) -> dict[str, int]:
    """Rows of each published table."""
    return {
        name: catalog.load_table(f"fleet.{name}").scan().count()
        for name in TABLES
        if catalog.table_exists(f"fleet.{name}")
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
