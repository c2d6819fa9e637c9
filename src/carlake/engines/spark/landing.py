"""Landing on Spark: the workers read the objects and write bronze's files, the driver stages what they wrote.

A record's text goes from the object to bronze's file in one worker's Python and never through Spark's own memory; what
comes back to the driver is a few rows for each task: hashes, counts, files, and what could not be read. So the driver's
memory follows the number of objects in a batch, not their size. A file counts only where it is in the answer of a task
that succeeded: those of tasks that failed, or were done twice, are in no snapshot.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from carlake.engines.bronze_files import partition_of
from carlake.engines.landed_objects import batches
from carlake.engines.protocol import Identified, Parsed, Reading, Staged
from carlake.engines.snapshots import stage_snapshot
from carlake.engines.spark.failures import reason
from carlake.engines.spark.file_sets import bare
from carlake.engines.spark.landing_task import OUTCOMES, HashTask, Outcome, Parts, ReadTask, in_batches
from carlake.engines.spark.writing import remove_written
from carlake.errors import LakeError
from carlake.landing.landed import LandedObject, UnreadableError
from carlake.storage.durable import places_of
from carlake.tables.table import Table

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import SparkSession

# One task takes objects up to this size in all, or one that is larger: many small ones are packed, for a task costs more.
TASK_BYTES = 128 << 20
TASK_FILES = 1000


class SparkLanding:
    """See `Landing`. `load` gives bronze's metadata as the session knows it."""

    def __init__(self, session: SparkSession, load: Callable[[str], IcebergTable]) -> None:
        self._session = session
        self._load = load

    def identify(self, objects: Sequence[LandedObject]) -> Identified:
        """See `Landing.identify`."""
        return run_tasks(self._session, HashTask(parts_of(objects))).identified

    def read(
        self, bronze: Table, new: Mapping[str, LandedObject], reading: Reading, progress: Callable[[int], None]
    ) -> SparkBatch:
        """See `Landing.read`."""
        iceberg = self._load(bronze.name)
        named = f"{uuid.uuid4().hex[:8]}-"
        task = ReadTask(
            parts_of(list(new.values())),
            {landed.uri: source_id for source_id, landed in new.items()},
            bronze,
            bare(iceberg.metadata),
            iceberg.io.properties,
            reading,
            named,
        )
        try:
            outcome = run_tasks(self._session, task)
        except BaseException:
            remove_written(iceberg, named)
            raise
        progress(sum(landed.size for landed in new.values()))
        return SparkBatch(self._load, bronze, reading, outcome)


class SparkBatch:
    """See `LandingBatch`. All its work is done once it exists."""

    parsed: Parsed | None = None

    def __init__(self, load: Callable[[str], IcebergTable], bronze: Table, reading: Reading, outcome: Outcome) -> None:
        self.records = outcome.records
        self.forgotten = outcome.forgotten
        self.unread: Sequence[UnreadableError] = outcome.identified.unread
        self._load = load
        self._table = bronze
        self._reading = reading
        self._written = outcome.written
        self._staged = self._stopped = False

    def stage(self, base: int | None, properties: Mapping[str, str]) -> Staged:
        """See `LandingBatch.stage`."""
        iceberg = self._load(self._table.name)
        day = partition_of(self._reading.ingested_at)
        files = [file.described(iceberg, day) for file in self._written]
        rows = sum(file.record_count for file in files)
        staged = stage_snapshot(
            iceberg, self._table.name, files, [], properties, base=base, rows_added=rows, rows_removed=0
        )
        self._staged = True
        return staged

    def abandon(self) -> None:
        """See `LandingBatch.abandon`."""
        places_of(self._load(self._table.name).io).remove([file.location for file in self._written])
        self._written = []

    def unstage(self) -> None:
        """See `LandingBatch.unstage`."""
        self._staged = False

    def stop(self) -> None:
        """See `LandingBatch.stop`."""
        self._stopped = True

    def close(self) -> None:
        """Remove the files that no commit can name, after an error."""
        if self._stopped and not self._staged:
            self.abandon()


def parts_of(objects: Sequence[LandedObject]) -> Parts:
    """The objects, packed for tasks."""
    return list(batches(objects, TASK_BYTES, TASK_FILES))


def run_tasks(session: SparkSession, task: HashTask | ReadTask) -> Outcome:
    """Have the workers do a task for each of its parts. Raises LakeError where that fails."""
    if not task.parts:
        return Outcome.of([])

    def work(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return in_batches(task, numbers)

    count = len(task.parts)
    try:
        # One partition for each part: its number.
        rows = session.range(0, count, 1, count).mapInArrow(work, OUTCOMES).collect()
    except Exception as error:
        raise LakeError(
            f"Spark did not read the objects to land: {reason(error)}", "Nothing was landed; run again."
        ) from error
    return Outcome.of([(row[0], row[1]) for row in rows])
