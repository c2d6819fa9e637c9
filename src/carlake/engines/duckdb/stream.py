"""Many records through the contracts in one statement that a stream of chunks feeds.

A statement for each chunk would be planned each time and would take and give back its memory each time; one statement
over the whole stream costs half. It extracts by the contract that most of the first chunk have. Records that it does
not find clean are carried along with their text, and are judged chunk by chunk afterwards, as are those of other shapes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Full, Queue
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from carlake.engines.duckdb.parse import extraction_for
from carlake.engines.protocol import Parsed, Relation
from carlake.engines.schemas import DUCKDB

if TYPE_CHECKING:
    from carlake.engines.duckdb.engine import DuckDBEngine

# What the judge needs of a record, by the name it is carried under.
_CARRIED = {
    "doubtful_raw": "raw",
    "doubtful_modified_at": "source_modified_at",
    "doubtful_event_id": "event_id",
    "doubtful_car_chassis": "car_chassis",
}
_DOUBTFUL_AT_ONCE = 50_000


class ParseStream:
    """Records on their way through the contracts. `feed` chunks, then `finish`; `stop` after an error.

    Chunks have bronze's columns and the splitter's `reason` and `detail`. One chunk alone is judged as a chunk.
    """

    def __init__(self, engine: DuckDBEngine) -> None:
        self._engine = engine
        self._accepted, self._quarantined = engine.parsed_relations()
        self._streamed: Relation | None = None
        self._first: pa.Table | None = None
        self._refused: list[pa.Table] = []
        self._dropped: list[str] = []
        # One chunk waits while one is worked on, so memory stays bounded.
        self._waiting: Queue[pa.Table | None] = Queue(1)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._stopped = False

    def feed(self, chunk: pa.Table) -> None:
        """Take one chunk; waits while the one before is worked on. Raises what went wrong with those before."""
        if self._stopped:
            return
        refused = chunk.filter(pc.or_(pc.is_valid(chunk["reason"]), pc.is_null(chunk["raw"])))
        if refused.num_rows:
            self._refused.append(refused)
        if self._first is None:
            self._first = chunk
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, args=(self._first,), name="parse", daemon=True)
            self._thread.start()
        self._put(chunk)

    def drop(self, source_id: str) -> None:
        """Leave out what came from an object."""
        self._dropped.append(source_id)

    def finish(self) -> Parsed:
        """Judge what is left; all records are then in the relations of the result."""
        engine = self._engine
        if self._thread is None:
            if self._first is not None:
                engine.parse_chunk(engine.connection, self._kept(self._first), self._accepted, self._quarantined)
            return self._parsed()
        self._put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        for refused in self._refused:
            engine.parse_chunk(engine.connection, self._kept(refused), self._accepted, self._quarantined)
        if self._streamed is not None:
            self._judge_doubtful(self._streamed)
        return self._parsed()

    def stop(self) -> None:
        """End the work under way; its relations are not to be used."""
        self._stopped = True
        if self._thread is not None:
            while self._thread.is_alive():
                with suppress(Full):
                    self._waiting.put_nowait(None)
                self._thread.join(0.01)

    def _put(self, chunk: pa.Table | None) -> None:
        while self._thread is not None and self._error is None and not self._stopped:
            try:
                self._waiting.put(chunk, timeout=0.1)
            except Full:  # look again whether the worker lives
                continue
            return
        if self._error is not None and chunk is not None:
            raise self._error

    def _kept(self, chunk: pa.Table) -> pa.Table:
        """The chunk without the rows of dropped objects."""
        if not self._dropped:
            return chunk
        return chunk.filter(pc.invert(pc.is_in(chunk["source_id"], pa.array(self._dropped))))

    # -- the statement -----------------------------------------------------------------------------------------------

    def _work(self, first: pa.Table) -> None:
        try:
            cursor = self._engine.connection.cursor()
            cursor.execute("USE kept")
            try:
                self._extract(cursor, first)
            finally:
                cursor.close()
        except BaseException as error:  # noqa: BLE001  (handed to the thread that feeds)
            self._error = error

    def _chunks(self, first: pa.Table) -> Iterator[pa.Table]:
        chunk: pa.Table | None = first
        while chunk is not None and not self._stopped:
            yield chunk
            chunk = self._waiting.get()

    def _extract(self, cursor: duckdb.DuckDBPyConnection, first: pa.Table) -> None:
        contracts = self._engine.contracts
        extraction = extraction_for(first, contracts)
        if extraction is None:
            for chunk in self._chunks(first):
                sound = chunk.filter(pc.and_(pc.is_null(chunk["reason"]), pc.is_valid(chunk["raw"])))
                self._engine.parse_chunk(cursor, self._kept(sound), self._accepted, self._quarantined)
            return
        streamed = self._engine.fresh()
        declared = [f'"{column.name}" {DUCKDB[column.type]}' for column in contracts.parsed_columns]
        declared += [
            f"{name} {'TIMESTAMP WITH TIME ZONE' if source == 'source_modified_at' else 'VARCHAR'}"
            for name, source in _CARRIED.items()
        ]
        cursor.execute(f"CREATE TABLE {streamed} ({', '.join(declared)})")
        batches = (batch for chunk in self._chunks(first) for batch in chunk.to_batches())
        cursor.register("stream", pa.RecordBatchReader.from_batches(first.schema, batches))
        # Safe, since a stream cannot be read again where a record trips DuckDB.
        select = extraction.select(contracts.parsed_columns, "stream", safe=True, carry=_CARRIED)
        try:
            cursor.execute(f"INSERT INTO {streamed} {select}")
        finally:
            cursor.unregister("stream")
        self._streamed = streamed

    def _judge_doubtful(self, streamed: Relation) -> None:
        engine = self._engine
        dropped = "".join(f" AND source_id <> '{source_id}'" for source_id in self._dropped)
        sql = (
            "SELECT source_id, source_row, doubtful_modified_at AS source_modified_at, record_hash, "
            "doubtful_event_id AS event_id, doubtful_car_chassis AS car_chassis, doubtful_raw AS raw, "
            "CAST(NULL AS BLOB) AS raw_bytes, ingested_at, CAST(NULL AS VARCHAR) AS reason, CAST(NULL AS VARCHAR) AS detail "
            f"FROM {streamed} WHERE contract IS NULL{dropped}"
        )
        for batch in engine.batches(sql, _DOUBTFUL_AT_ONCE):
            engine.parse_chunk(engine.connection, pa.Table.from_batches([batch]), self._accepted, self._quarantined)

    def _parsed(self) -> Parsed:
        engine = self._engine
        # Chunks that were judged before the object broke off have its rows already.
        for judged in (self._accepted, self._quarantined):
            for source_id in self._dropped:
                engine.connection.execute(f"DELETE FROM {judged} WHERE source_id = '{source_id}'")
        accepted = self._accepted
        if self._streamed is not None:
            names = ", ".join(f'"{column.name}"' for column in engine.contracts.parsed_columns)
            dropped = "".join(f" AND source_id <> '{source_id}'" for source_id in self._dropped)
            accepted = engine.view(
                f"SELECT {names} FROM {self._streamed} WHERE contract IS NOT NULL{dropped} "
                f"UNION ALL SELECT {names} FROM {self._accepted}"
            )
        return Parsed(accepted, self._quarantined, engine.count(accepted), engine.count(self._quarantined))
