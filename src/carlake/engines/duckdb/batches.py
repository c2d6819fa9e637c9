"""Bronze rows through the contracts, batch by batch, in a worker of another engine: the embedded engine's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import duckdb
import pyarrow as pa

from carlake.contracts.contract import ContractSet
from carlake.engines.duckdb.parse import create_accepted, create_quarantined, parse
from carlake.landing.defects import defects

_ROWS = 50_000
_BYTES = 64 << 20
_AT_ONCE = 8192


class BatchJudge:
    """Judges Arrow batches of bronze rows.

    contracts         as the driver has them
    max_record_bytes  longer records are refused
    """

    def __init__(self, contracts: ContractSet, max_record_bytes: int) -> None:
        self._contracts = contracts
        self._max_record_bytes = max_record_bytes
        self._connection = duckdb.connect(
            config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 1}
        )
        self._connection.execute("SET TimeZone = 'UTC'")

    def judge(self, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.Table, pa.Table]]:
        """What is accepted, with the contracts' `parsed_columns`, and what is not, with quarantine's but `quarantined_at`.

        batches  bronze's columns but source_uri, source_size and event_timestamp
        """
        for chunk in _chunks(batches):
            yield self._chunk(chunk)

    def close(self) -> None:
        """End its session."""
        self._connection.close()

    def _chunk(self, chunk: pa.Table) -> tuple[pa.Table, pa.Table]:
        judged = [
            defects(piece.column("raw"), piece.column("raw_bytes"), max_record_bytes=self._max_record_bytes)
            for piece in chunk.to_batches(max_chunksize=_AT_ONCE)
        ]
        reason, detail = (pa.chunked_array([pair[side] for pair in judged], pa.string()) for side in (0, 1))
        connection = self._connection
        create_accepted(connection, "accepted", self._contracts, temporary=True)
        create_quarantined(connection, "quarantined", temporary=True)
        connection.register("records", chunk.append_column("reason", reason).append_column("detail", detail))
        try:
            parse(connection, "records", self._contracts, "accepted", "quarantined")
            return connection.table("accepted").to_arrow_table(), connection.table("quarantined").to_arrow_table()
        finally:
            connection.unregister("records")
            connection.execute("DROP TABLE accepted")
            connection.execute("DROP TABLE quarantined")


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together: one statement for many rows costs little more than for few."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS or size >= _BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)
