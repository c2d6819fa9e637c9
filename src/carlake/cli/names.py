"""Names that the shell completes."""

from __future__ import annotations

TABLES = (
    "bronze_car_data",
    "silver_car_telemetry",
    "quarantine_car_data",
    "gold_car_current_state",
    "gold_fuel_efficiency_monthly",
    "gold_performance_alerts_log",
    "ops_runs",
    "ops_forgotten",
)
"""The tables of a lake, written out: completion has to answer while a person waits. A test compares them."""

FORMATS = ("table", "csv", "json", "ndjson", "parquet")
"""How `carlake query` prints rows."""

TOOLS = ("pyiceberg", "pandas", "polars", "duckdb", "spark", "trino", "athena")


def complete_tables(incomplete: str) -> list[str]:
    """Tables that begin with what is typed, or have it in their name."""
    return [name for name in TABLES if name.startswith(incomplete)] or list(TABLES)


def complete_formats(incomplete: str) -> list[str]:
    """Formats of `carlake query`."""
    return [name for name in FORMATS if name.startswith(incomplete)]


def complete_tools(incomplete: str) -> list[str]:
    """Tools that `carlake connect` knows."""
    return [name for name in TOOLS if name.startswith(incomplete)]
