"""DuckDB: its own Iceberg reader, which is told the metadata of each table."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from carlake.look.connect.place import Place

RELEASE = "release"
"""The schema of the views that read the release."""


def duckdb(place: Place) -> Iterator[str]:
    """A view of each table as it is now, and in a schema of their own of each as it was at the release."""
    yield "-- SQL for a DuckDB whose iceberg extension is published for its version (1.5.5 is one)."
    yield "-- Each view reads its table as it is now: after a further run, ask for this text again."
    extensions = ["avro", "iceberg", *(["httpfs", "aws"] if place.store == "s3" else [])]
    yield from (f"INSTALL {name};" for name in extensions)
    yield from (f"LOAD {name};" for name in extensions)
    yield "SET TimeZone = 'UTC';"
    if place.store == "s3":
        yield f"CREATE OR REPLACE SECRET carlake ({', '.join(_secret(place))});"
    for name, metadata in place.tables.items():
        yield f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM iceberg_scan({_quoted(_bare(metadata))});"
    if place.snapshots:
        yield f"-- The tables as they were together at the end of run {place.release}."
        yield f"CREATE SCHEMA IF NOT EXISTS {RELEASE};"
    for name, snapshot in place.snapshots.items():
        scan = f"iceberg_scan({_quoted(_bare(place.tables[name]))}, snapshot_from_id => {snapshot}::UBIGINT)"
        yield f"CREATE OR REPLACE VIEW {RELEASE}.{name} AS SELECT * FROM {scan};"
    yield "SELECT * FROM gold_car_current_state;"


def _secret(place: Place) -> Iterator[str]:
    """The options of DuckDB's access to the store; who asks is found by the AWS chain."""
    yield "TYPE s3"
    yield "PROVIDER credential_chain"
    if place.region:
        yield f"REGION {_quoted(place.region)}"
    if place.endpoint:
        address = urlsplit(place.endpoint)
        yield f"ENDPOINT {_quoted(address.netloc)}"
        yield f"USE_SSL {str(address.scheme == 'https').lower()}"
        yield f"URL_STYLE {_quoted('path' if place.by_path else 'vhost')}"


def _bare(location: str) -> str:
    return location.removeprefix("file://")


def _quoted(text: str) -> str:
    """A SQL text literal."""
    return "'" + text.replace("'", "''") + "'"
