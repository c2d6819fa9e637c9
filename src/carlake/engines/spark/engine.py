"""The engine on Spark: DataFrames and SQL compute, workers read and write files, and the driver plans and stages.

The driver holds names of files, bounds of keys and counts, never rows: its memory does not grow with the input.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.contracts.contract import ContractSet
from carlake.engines.protocol import Landing, Parsed, Relation, Rewritten
from carlake.engines.reads import nothing
from carlake.engines.scratch import own_folder
from carlake.engines.spark.arrow import from_arrow, to_arrow
from carlake.engines.spark.catalog_conf import file_access
from carlake.engines.spark.dialect import SPARK, in_spark
from carlake.engines.spark.failures import in_short
from carlake.engines.spark.file_sets import FileSets
from carlake.engines.spark.landing import SparkLanding
from carlake.engines.spark.parsing import ACCEPTED, READ, Judging
from carlake.engines.spark.session import close_session, open_session
from carlake.engines.spark.writing import WRITTEN, described, remove_written, sorted_by_place, writing
from carlake.engines.table_engine import TableEngine
from carlake.lake import Lake
from carlake.settings import Settings
from carlake.storage.checksums import damaged
from carlake.storage.durable import places_of
from carlake.storage.places import Places, path_of
from carlake.tables.table import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RUN = "spark.carlake.run"
"""The property by which Spark's event log names the run of each job."""

# Up to so many files are compared with their names by the driver.
_CHECKED_HERE = 16
# So many rows are sorted and written by one task: to divide them takes longer.
_FEW_ROWS = 20_000


class SparkEngine(TableEngine):
    """One session, opened when it is first needed. Not for use by several threads at once."""

    name = "spark"
    types = SPARK

    def __init__(
        self,
        catalog: Catalog,
        tables: Mapping[str, Table],
        contracts: ContractSet,
        settings: Settings,
        lake: Lake,
    ) -> None:
        super().__init__(catalog, settings.namespace, tables)
        self.contracts = contracts
        self.settings = settings
        self.lake = lake
        self.max_record_bytes = int(settings.max_record_bytes)
        self.target_file_rows = max(int(settings.target_file_bytes) // 160, 1000)
        self._spark: SparkSession | None = None
        self._scratch: Path | None = None
        self._sets: FileSets | None = None
        self._frames: dict[Relation, DataFrame] = {}
        self._counts: dict[Relation, int] = {}
        self._number = 0

    @property
    def spark(self) -> SparkSession:
        """The Spark session. Raises SettingsError where there can be none."""
        if self._spark is None:
            spark = open_session(self.settings, self.lake)
            try:
                self._scratch = own_folder(self.lake.scratch, "spark")
                self._sets = FileSets(self._scratch)
                for key, value in self._sets.conf(file_access(self.settings, self.lake)).items():
                    spark.conf.set(key, value)
                self._name_run(spark)
            except BaseException:
                close_session(spark)  # half a session would be taken for a whole one
                raise
            self._spark = spark
        return self._spark

    def of_run(self, run_id: str) -> None:
        """See `Engine.of_run`: Spark's event log and its pages name the run with each job."""
        super().of_run(run_id)
        if self._spark is not None:
            self._name_run(self._spark)

    def _name_run(self, spark: SparkSession) -> None:
        # A session's configuration goes with each of its jobs, whatever thread asks for it; a group of jobs would not.
        if self.run_id:
            spark.conf.set(RUN, self.run_id)
            spark.conf.set("spark.job.description", f"carlake {self.run_id}")

    def close(self) -> None:
        """End the session and remove its scratch files."""
        try:
            if self._spark is not None:
                with suppress(Exception):  # Spark may have died
                    self.forget()
                spark, self._spark = self._spark, None
                close_session(spark)
        finally:
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
                self._scratch = None

    # -- relations ---------------------------------------------------------------------------------------------------

    def frame(self, sql: str) -> DataFrame:
        """A query as a DataFrame."""
        with in_short():
            return self.spark.sql(in_spark(sql))

    def named(self, rows: DataFrame, kept: bool = False) -> Relation:
        """A relation of a DataFrame, until the session ends. `kept`: its rows are computed once, now."""
        self._number += 1
        name = f"r{self._number}"
        if kept:
            # Not `persist`: a plan that goes back to the files, through all that was kept before, takes Spark longer to
            # think over than small rows take to compute. A worker that is lost takes its rows along, and the run fails.
            with in_short():
                rows = rows.localCheckpoint(eager=False)
                self._counts[name] = rows.count()
            self._made.append(name)
        rows.createOrReplaceTempView(name)
        self._frames[name] = rows
        return name

    def keep(self, sql: str) -> Relation:
        """See `Engine.keep`."""
        return self.named(self.frame(sql), kept=True)

    def view(self, sql: str) -> Relation:
        """See `Engine.view`. Spark takes the text in once, here, however often it is used."""
        return self.named(self.frame(sql))

    def table(self, rows: pa.Table) -> Relation:
        """See `Engine.table`."""
        return self.named(from_arrow(self.spark, rows), kept=True)

    def count(self, relation: Relation) -> int:
        """See `Engine.count`."""
        if relation in self._counts:
            return self._counts[relation]
        [(rows,)] = self.rows(f"SELECT count(*) AS n FROM {relation}")
        return int(str(rows))

    def arrow(self, sql: str) -> pa.Table:
        """The result of `sql` as an Arrow table, which the driver's memory must hold."""
        with in_short():
            return to_arrow(self.frame(sql))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """See `Engine.rows`."""
        found = self.arrow(sql)
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def batches(self, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`. All rows come to the driver: for few of them."""
        yield from self.arrow(sql).to_batches(max_chunksize=rows)

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """See `TableEngine.columns`."""
        return list(self._frames[relation].dtypes)

    def forget(self) -> None:
        """See `TableEngine.forget`."""
        # Spark drops what was kept once nobody here has hold of it.
        for name in self._frames:
            self.spark.catalog.dropTempView(name)
        self._frames.clear()
        self._counts.clear()
        if self._sets is not None:
            self._sets.clear()
        super().forget()

    # -- files -------------------------------------------------------------------------------------------------------

    def files(
        self,
        table: Table,
        files: Sequence[DataFile],
        iceberg: IcebergTable,
        located: bool = False,
        only: Collection[str] | None = None,
        snapshot: int | None = None,
    ) -> str:
        """See `TableEngine.files`. A whole snapshot is read from the catalog, by Iceberg's own planning."""
        if not files:
            return nothing(table, located, only)
        there = {field.name for field in iceberg.schema().fields}
        columns = [
            f"`{c.name}`" if c.name in there else f"CAST(NULL AS {SPARK[c.type]}) AS `{c.name}`"
            for c in table.columns
            if only is None or c.name in only
        ]
        place = ["_file", "_pos"] if located else []
        rows = self._rows_of(iceberg, files, snapshot).selectExpr(*columns, *place)
        return f"SELECT * FROM {self.named(rows)}"

    def _rows_of(self, iceberg: IcebergTable, files: Sequence[DataFile], snapshot: int | None) -> DataFrame:
        known = iceberg.metadata.snapshot_by_id(snapshot) if snapshot is not None else None
        # At a snapshot Iceberg has the columns of that time, and JDBC cuts the path of a catalog's file at these two.
        cut = any(character in str(self.lake.catalog_db) for character in "?#")
        if known is not None and known.schema_id == iceberg.metadata.current_schema_id and not cut:
            name = f"carlake.{self.namespace}.{iceberg.name()[-1]}"
            with in_short():
                return self.spark.sql(f"SELECT *, _file, _pos FROM {name} VERSION AS OF {known.snapshot_id}")
        spark = self.spark
        assert self._sets is not None
        with in_short():
            return spark.table(self._sets.table(iceberg, files))

    def place(self, file: DataFile) -> str:
        """See `TableEngine.place`."""
        return str(file.file_path)

    def check(self, files: Sequence[DataFile], iceberg: IcebergTable) -> None:
        """See `TableEngine.check`. Many files are read by the workers."""
        locations = [str(file.file_path) for file in files]
        places = places_of(iceberg.io)
        if len(locations) > _CHECKED_HERE:
            checked = from_arrow(self.spark, pa.table({"location": locations})).repartition(len(locations))
            with in_short():
                found = to_arrow(checked.mapInArrow(Checking(places), "location string"))
            broken = sorted(found.column(0).to_pylist())
        else:
            broken = [location for location in locations if places.is_whole(location) is False]
        if broken:
            raise damaged(path_of(broken[0]))

    def write(self, table: Table, iceberg: IcebergTable, rows: Relation, most: int | None = None) -> list[DataFile]:
        """See `TableEngine.write`."""
        few = most is not None and most <= min(self.target_file_rows, _FEW_ROWS)
        placed, parts = sorted_by_place(self._frames[rows], table, iceberg, alone=few)
        named = f"{uuid.uuid4().hex[:8]}-"
        task = writing(table, iceberg, parts, self.target_file_rows, named)
        try:
            with in_short():
                return described(iceberg, to_arrow(placed.mapInArrow(task, WRITTEN)))
        except BaseException:
            remove_written(iceberg, named)
            raise

    # -- records -----------------------------------------------------------------------------------------------------

    def parse(self, bronze_rows: Relation) -> Parsed:
        """See `Engine.parse`. One pass in the workers; what both sides are is kept."""
        judging = Judging(self.contracts, self.max_record_bytes)
        records = self.frame(
            f"SELECT {', '.join(READ)} FROM {bronze_rows} WHERE raw IS NOT NULL OR raw_bytes IS NOT NULL"
        )
        rows = self.named(records.mapInArrow(judging, judging.schema), kept=True)
        [(accepted,)] = self.rows(f"SELECT count(CASE WHEN {ACCEPTED} THEN 1 END) FROM {rows}")
        sides = (self.view(judging.accepted(rows)), self.view(judging.quarantined(rows)))
        return Parsed(*sides, int(str(accepted)), self.count(rows) - int(str(accepted)))

    def land(self) -> Landing:
        """See `Engine.land`."""
        return SparkLanding(self.spark, self.load)

    def rewrite(
        self, table: Table, base: int, locations: Sequence[str], select: str = "SELECT * FROM {rows}"
    ) -> Rewritten:
        """See `Engine.rewrite`: files are written anew by the embedded engine, whatever computes the runs."""
        raise NotImplementedError("the embedded engine rewrites files")


@dataclass(frozen=True)
class Checking:
    """In a worker: the files among those of a batch whose content is not what their name says."""

    places: Places

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The locations of damaged files."""
        for batch in batches:
            broken = [place for place in batch.column(0).to_pylist() if self.places.is_whole(place) is False]
            yield pa.record_batch([pa.array(broken, pa.string())], names=["location"])
