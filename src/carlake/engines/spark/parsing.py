"""Bronze rows through the contracts in Spark's workers: one pass, whose rows are of two kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from carlake.contracts.contract import ContractSet
from carlake.engines.duckdb.batches import BatchJudge
from carlake.engines.schemas import ARROW
from carlake.engines.spark.dialect import SPARK
from carlake.tables.quarantine_car_data import COLUMNS as QUARANTINE
from carlake.tables.table import Column

READ = ("source_id", "source_row", "source_modified_at", "record_hash", "event_id", "car_chassis", "raw", "raw_bytes",
        "ingested_at")  # fmt: skip
"""The columns of bronze that judging needs."""

QUARANTINED: tuple[Column, ...] = tuple(column for column in QUARANTINE if column.name != "quarantined_at")

# Columns of what is refused stand beside those of what is accepted, under names that no contract gives.
_REFUSED = "_refused_"
ACCEPTED = "_accepted"
"""The column that says of which kind a row is."""


@dataclass(frozen=True)
class Judging:
    """What a worker needs to judge bronze rows."""

    contracts: ContractSet
    max_record_bytes: int

    @property
    def schema(self) -> str:
        """Of the rows of both kinds, as Spark has it."""
        columns = [f"`{column.name}` {SPARK[column.type]}" for column in self.contracts.parsed_columns]
        refused = [f"`{_REFUSED}{column.name}` {SPARK[column.type]}" for column in QUARANTINED]
        return ", ".join([f"{ACCEPTED} boolean", *columns, *refused])

    def accepted(self, rows: str) -> str:
        """SQL for the rows that were accepted."""
        names = ", ".join(f'"{column.name}"' for column in self.contracts.parsed_columns)
        return f"SELECT {names} FROM {rows} WHERE {ACCEPTED}"

    def quarantined(self, rows: str) -> str:
        """SQL for the rows that were not."""
        names = ", ".join(f"{_REFUSED}{column.name} AS {column.name}" for column in QUARANTINED)
        return f"SELECT {names} FROM {rows} WHERE NOT {ACCEPTED}"

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """In a worker: judge the rows of one partition."""
        judge = BatchJudge(self.contracts, self.max_record_bytes)
        schema = self._arrow()
        try:
            for accepted, refused in judge.judge(batches):
                renamed = refused.rename_columns([f"{_REFUSED}{name}" for name in refused.column_names])
                for rows, kind in ((accepted, True), (renamed, False)):
                    yield from _filled(rows, kind, schema).to_batches()
        finally:
            judge.close()

    def _arrow(self) -> pa.Schema:
        def fields(columns: Sequence[Column], prefix: str = "") -> list[tuple[str, pa.DataType]]:
            return [(f"{prefix}{column.name}", ARROW[column.type]) for column in columns]

        own = fields(self.contracts.parsed_columns)
        return pa.schema([(ACCEPTED, pa.bool_()), *own, *fields(QUARANTINED, _REFUSED)])


def _filled(rows: pa.Table, kind: bool, schema: pa.Schema) -> pa.Table:
    """Rows of one kind with the columns of both."""
    there = set(rows.column_names)
    columns = [
        pa.repeat(pa.scalar(kind), rows.num_rows)
        if field.name == ACCEPTED
        else rows[field.name].cast(field.type)
        if field.name in there
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
