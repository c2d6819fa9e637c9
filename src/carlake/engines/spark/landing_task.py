"""What Spark's workers do with landed objects: hash them, and make bronze's files of their records.

Runs in a worker's Python, with the code by which the embedded engine reads objects. What a worker needs comes with the
function; what it tells goes back as rows of `OUTCOMES`, a few for each task and never a record.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import load_file_io
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.metadata import TableMetadata

from carlake.engines.bronze_files import BronzeFiles
from carlake.engines.landed_objects import KEPT_BYTES, Contents, batches, identify, read_objects
from carlake.engines.new_files import WrittenFile
from carlake.engines.protocol import Identified, Reading
from carlake.landing.landed import LandedObject, Unreadable, UnreadableError
from carlake.landing.objects import CHANGED, RETRY
from carlake.storage.clients import Reached, reach_as, reached
from carlake.storage.durable import settle
from carlake.tables.table import Table

OUTCOMES = "told string, footer binary"
"""What a task gives back, as Spark's schema: JSON, and of each file its Parquet footer."""

_AT_ONCE = 10_000

Parts = Sequence[Sequence[LandedObject]]
Told = tuple[Mapping[str, Any], bytes | None]


@dataclass(frozen=True)
class HashTask:
    """Hash the objects of one part."""

    parts: Parts
    stores: Reached = field(default_factory=reached, repr=False)

    def do(self, part: int) -> Iterator[Told]:
        """The outcome: a source id for each object, or why it cannot be read."""
        reach_as(self.stores)
        found = identify(self.parts[part])
        yield {"ids": found.ids}, None
        yield from map(_unread, found.unread)


@dataclass(frozen=True)
class ReadTask:
    """Write the records of one part's objects into bronze's files, which nobody sees yet.

    parts       objects; ids: their source ids, by uri
    metadata    of bronze, without its snapshots; `properties` are those of its file access
    named       how the names of its files begin
    """

    parts: Parts
    ids: Mapping[str, str]
    bronze: Table
    metadata: TableMetadata
    properties: Mapping[str, str]
    reading: Reading
    named: str
    stores: Reached = field(default_factory=reached, repr=False)

    def do(self, part: int) -> Iterator[Told]:
        """The outcome: files, counts, and what could not be read. Nothing is left of a task that fails."""
        reach_as(self.stores)
        reading, before = self.reading, self.reading.screen.forgotten
        files = BronzeFiles(
            self._iceberg(),
            self.bronze,
            reading.ingested_at,
            reading.hints,
            reading.max_record_bytes,
            named=self.named,
        )
        unread: list[UnreadableError] = []
        failed = True
        try:
            for objects in batches(self.parts[part], KEPT_BYTES, _AT_ONCE):
                contents = Contents()
                # Small ones are read as a whole: what is one record alone is known by its content.
                again = identify((landed for landed in objects if contents.has_room(landed)), contents)
                new = {self.ids[landed.uri]: landed for landed in objects}
                for uri, source_id in again.ids.items():
                    if source_id != self.ids[uri]:
                        changed = new.pop(self.ids[uri])
                        unread.append(UnreadableError(Unreadable(changed.uri, CHANGED, RETRY)))
                unread += read_objects(
                    new, files, reading.screen, reading.max_record_bytes, contents, lambda size: None
                )
            written = files.finish()
            settle()
            failed = False
        finally:
            if failed:
                files.stop()
            files.close(remove=failed)
        yield {"records": files.records, "forgotten": reading.screen.forgotten - before}, None
        for file in written:
            footer = io.BytesIO()
            file.footer.write_metadata_file(footer)
            yield {"location": file.location, "size": file.size}, footer.getvalue()
        yield from map(_unread, unread)

    def _iceberg(self) -> IcebergTable:
        location = self.metadata.location
        return IcebergTable(
            (self.bronze.name,), self.metadata, location, load_file_io(dict(self.properties), location), NoopCatalog("")
        )


def _unread(error: UnreadableError) -> Told:
    told = error.unreadable
    return {"unread": [told.uri, told.why, told.advice], "vanished": error.vanished}, None


def in_batches(task: HashTask | ReadTask, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The task for each part that a batch names (its only column), in the shape that `mapInArrow` wants."""
    for batch in batches:
        for part in batch.column(0).to_pylist():
            told = list(task.do(part))
            yield pa.record_batch(
                [
                    pa.array([json.dumps(outcome) for outcome, _ in told], pa.string()),
                    pa.array([footer for _, footer in told], pa.binary()),
                ],
                names=["told", "footer"],
            )


@dataclass
class Outcome:
    """What all tasks told, together."""

    identified: Identified
    written: list[WrittenFile]
    records: int = 0
    forgotten: int = 0

    @classmethod
    def of(cls, rows: Sequence[tuple[str, bytes | None]]) -> Outcome:
        """From the rows of `OUTCOMES`."""
        outcome = cls(Identified(), [])
        for text, footer in rows:
            told = json.loads(text)
            outcome.identified.ids.update(told.get("ids", {}))
            outcome.records += told.get("records", 0)
            outcome.forgotten += told.get("forgotten", 0)
            if "unread" in told:
                error = UnreadableError(Unreadable(*told["unread"]), vanished=told["vanished"])
                outcome.identified.unread.append(error)
            if footer is not None:
                metadata = pq.read_metadata(pa.BufferReader(bytes(footer)))
                outcome.written.append(WrittenFile(told["location"], told["size"], metadata))
        return outcome
