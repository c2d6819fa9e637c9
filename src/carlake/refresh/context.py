"""What a run works with: the catalog, the declared tables, the engine, the clock, and who the run is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.table import Table as IcebergTable

from carlake.contracts.contract import ContractSet
from carlake.engines.protocol import Engine, Parsed
from carlake.engines.schemas import ICEBERG, doc, iceberg_schema, partition_spec, sort_order
from carlake.errors import CommitRefusedError, SchemaError
from carlake.refresh.circuits import Circuits
from carlake.refresh.forgotten import ForgottenCars
from carlake.refresh.plan import BOOKMARK, Bookmark
from carlake.refresh.unknown import refuse_unknown
from carlake.storage.places import Places
from carlake.storage.store_files import store_options
from carlake.tables.table import Table

if TYPE_CHECKING:
    from carlake.landing.pseudonyms import Pseudonyms
    from carlake.refresh.releases import Releases

VERSION_PROPERTY = "carlake.version"
RUN_PROPERTY = "carlake.run-id"
WATCH = "watch"
"""The trigger of runs that `carlake watch` starts."""

_TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
}
# Whole bounds of these columns let a look-up of one object skip every file that does not hold it.
_METRICS = {"source_id": "full", "source_uri": "full", "car_chassis": "full", "raw": "counts", "raw_bytes": "counts"}


@dataclass
class Context:
    """One run. `parsed` holds what the contracts said of bronze's changes, by the two bronze snapshots between them.

    A landed batch puts its records there under (the parent of its bronze snapshot, that snapshot). A table takes them
    only when its bookmark is that parent; otherwise it reads the difference from bronze. So a chunk in memory can never
    stand in for rows of another process that lie before it.
    """

    catalog: Catalog
    namespace: str
    warehouse: str
    tables: Mapping[str, Table]
    contracts: ContractSet
    engine: Engine
    lease_folder: Path
    clock: Callable[[], datetime]
    version: str
    today: date | None = None
    trigger: str = "run"
    circuits: Circuits | None = None
    releases: Releases | None = None
    forgotten: ForgottenCars | None = None
    pseudonyms: Pseudonyms | None = None
    run_id: str = field(default_factory=lambda: new_run_id(datetime.now(UTC)))
    parsed: dict[tuple[int | None, int | None], Parsed] = field(default_factory=dict)

    @property
    def backs_off(self) -> bool:
        """Whether tables that keep failing are tried less and less often: where no person waits for the outcome."""
        return self.trigger == WATCH

    @property
    def day(self) -> date:
        """Today: as asked for, else the UTC day of the clock."""
        return self.today or self.clock().astimezone(UTC).date()

    def find(self, name: str) -> IcebergTable | None:
        """The table as the catalog has it now, None where it is missing. The engine goes on from this metadata."""
        try:
            iceberg = self.catalog.load_table(f"{self.namespace}.{name}")
        except NoSuchTableError:
            return None
        self.engine.remember(name, iceberg)
        return iceberg

    def peek(self, name: str) -> IcebergTable | None:
        """The table as the catalog has it now, None where it is missing. The engine goes on from what it knows."""
        try:
            return self.catalog.load_table(f"{self.namespace}.{name}")
        except NoSuchTableError:
            return None

    def load(self, name: str) -> IcebergTable:
        """The table as the catalog has it now; made first where it is missing."""
        return self.find(name) or self._create(self.tables[name])

    def _create(self, table: Table) -> IcebergTable:
        if self.trigger != "recover":
            refuse_unknown(self.catalog, self.namespace, self.tables, self.warehouse)
        try:
            iceberg = self.catalog.create_table(
                f"{self.namespace}.{table.name}",
                schema=iceberg_schema(table),
                location=f"{self.warehouse}/{self.namespace}/{table.name}",
                partition_spec=partition_spec(table),
                sort_order=sort_order(table),
                properties={
                    **_table_properties(table),
                    "comment": table.doc,
                    "carlake.created-at": self.clock().astimezone(UTC).isoformat(timespec="microseconds"),
                },
            )
        except TableAlreadyExistsError:
            iceberg = self.catalog.load_table(f"{self.namespace}.{table.name}")
        self.engine.remember(table.name, iceberg)
        return iceberg

    @property
    def places(self) -> Places:
        """Reads and writes files beside the tables, with the catalog's own access to stores."""
        return Places(store_options(self.catalog.properties))

    def evolve(self, name: str) -> None:
        """Give a table the declared columns that it does not have yet.

        Raises SchemaError where a column is there with another type, CommitRefusedError where another writer was faster.
        """
        iceberg, table = self.load(name), self.tables[name]
        there = {field.name: field.field_type for field in iceberg.schema().fields}
        for column in table.columns:
            if column.name in there and there[column.name] != ICEBERG[column.type]:
                raise SchemaError(
                    f"Column {column.name} of table {name} is {there[column.name]} and is now declared {column.type}.",
                    "A column's type cannot change: declare the new one under another name.",
                )
        missing = [column for column in table.columns if column.name not in there]
        if not missing:
            return
        try:
            with iceberg.update_schema() as update:
                for column in missing:
                    update.add_column(column.name, ICEBERG[column.type], doc=doc(column))
        except CommitFailedException as refused:
            raise CommitRefusedError(f"Table {name} was changed while its columns were added: {refused}") from refused

    def properties(self, table: Table, kind: str, mark: Bookmark, **more: object) -> dict[str, str]:
        """The summary of a snapshot: its bookmark, and who made it and why."""
        values = {
            "carlake.kind": kind,
            BOOKMARK: mark.to_text(),
            RUN_PROPERTY: self.run_id,
            "carlake.commit-id": uuid.uuid4().hex,
            "carlake.engine": self.engine.name,
            VERSION_PROPERTY: self.version,
        }
        return values | {f"carlake.{name.replace('_', '-')}": str(value) for name, value in more.items()}


def _table_properties(table: Table) -> dict[str, str]:
    """The properties of a new table. Iceberg's Java library refuses one that names a column which is not there."""
    there = set(table.column_names)
    metrics = {f"write.metadata.metrics.column.{name}": how for name, how in _METRICS.items() if name in there}
    return _TABLE_PROPERTIES | metrics


def new_run_id(now: datetime) -> str:
    """A run's id: the UTC second it began, so that ids sort, and a random tail."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
