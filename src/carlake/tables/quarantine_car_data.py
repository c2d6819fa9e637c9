"""quarantine_car_data: the bronze rows that no contract accepts, each with a stable reason code."""

from __future__ import annotations

from collections.abc import Mapping

from carlake.tables.table import Column, Table

COLUMNS = (
    Column("source_id", "string", "the landed object, as in bronze_car_data", required=True),
    Column("source_row", "long", "position of the record in its object, from 0", required=True),
    Column("event_id", "string", "hint: the event id, as far as it can be read"),
    Column("car_chassis", "string", "hint: the car, as far as it can be read", personal=True),
    Column("contract", "string", "the contract that recognised the record; null where none did"),
    Column("contract_version", "int", "version of that contract"),
    Column("reason", "string", "stable reason code; see the reference of reason codes", required=True),
    Column("detail", "string", "the field, its value and the rule it breaks"),
    Column("raw", "string", "the record's text, verbatim", personal=True),
    Column("quarantined_at", "timestamptz", "when the record was put here", volatile=True),
)


def quarantine(judged: Mapping[str, str]) -> Table:
    """The table, as the contracts fill it; `judged` is what they and their limits say, by name."""
    return Table(
        name="quarantine_car_data",
        doc="one row per landed record that no contract accepts",
        source="bronze_car_data",
        scope={"source_id": "source_id", "source_row": "source_row"},
        key=("source_id", "source_row"),
        reads="delta",
        select="""SELECT source_id, source_row, event_id, car_chassis, contract, contract_version, reason, detail, raw,
       {now} AS quarantined_at
FROM {source}""",
        columns=COLUMNS,
        sort=("source_id", "source_row"),
        parses="quarantined",
        inputs=judged,
    )
