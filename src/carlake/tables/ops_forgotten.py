"""ops_forgotten: the tombstones of forgotten cars. They name no car; with the lake's key they refuse its records."""

from __future__ import annotations

from carlake.tables.table import Column, Table

COLUMNS = (
    Column(
        "tombstone", "string", "HMAC-SHA256 of the car under the lake's tombstone key, 64 hex digits", required=True
    ),
    Column("key_id", "string", "which key that is; tells nothing about the key", required=True),
    Column("forgotten_at", "timestamptz", "when the car was first forgotten", required=True),
    Column("run_id", "string", "the run that forgot it", required=True),
)

TABLE = Table(
    name="ops_forgotten",
    doc="one row per forgotten car: its tombstone, by which records of it are refused",
    source=None,
    scope={"tombstone": "tombstone"},
    key=("tombstone",),
    reads="delta",
    select="",
    columns=COLUMNS,
    sort=("tombstone",),
)
