"""Bronze rows on their way back through the contracts: in chunks, each text judged as the splitter judged it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from carlake.engines.protocol import Engine, Relation
from carlake.landing.defects import defects

_COLUMNS = "source_id, source_row, source_modified_at, record_hash, event_id, car_chassis, raw, raw_bytes, ingested_at"


def judged_chunks(engine: Engine, bronze_rows: Relation, max_record_bytes: int, rows: int) -> Iterator[pa.Table]:
    """The rows of a bronze relation as Arrow chunks of about `rows` rows, with the columns `reason` and `detail`.

    Marker rows, which hold no record, are left out.
    """
    sql = f"SELECT {_COLUMNS} FROM {bronze_rows} WHERE raw IS NOT NULL OR raw_bytes IS NOT NULL"
    for batch in engine.batches(sql, rows):
        chunk = pa.Table.from_batches([batch])
        judged = [
            defects(piece.column("raw"), piece.column("raw_bytes"), max_record_bytes=max_record_bytes)
            for piece in chunk.to_batches(max_chunksize=8192)
        ]
        yield (
            chunk.append_column(
                "reason", pa.chunked_array([reason for reason, _ in judged], pa.string())
            ).append_column("detail", pa.chunked_array([detail for _, detail in judged], pa.string()))
        )
