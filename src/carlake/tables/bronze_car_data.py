"""bronze_car_data: everything that ever arrived, once, verbatim. It guesses no schema, so nothing can break it."""

from __future__ import annotations

from carlake.tables.table import Column, Table

COLUMNS = (
    Column(
        "source_uri",
        "string",
        "where the object lay when it was landed; an older version in S3 with `?versionId=` and its id",
        required=True,
    ),
    Column(
        "source_id",
        "string",
        "SHA-256 of the object's content: one object is one content, under whatever name",
        required=True,
    ),
    Column("source_row", "long", "position of the record in its object, from 0", required=True),
    Column("source_size", "long", "size of the object", unit="By"),
    Column("source_modified_at", "timestamptz", "modification time of the object when it was first landed"),
    Column(
        "record_hash",
        "string",
        "XXH3-128 of the record's bytes as 32 hex digits; null in an object's marker row, `forgotten` in the empty row "
        "of a record whose car was forgotten",
    ),
    Column("event_id", "string", "hint: the event id, as far as it can be read"),
    Column("car_chassis", "string", "hint: the car, as far as it can be read", personal=True),
    Column("event_timestamp", "timestamptz", "hint: the event's time, as far as it can be read"),
    Column(
        "raw", "string", "the record's text, verbatim; null where it is not UTF-8 and in marker rows", personal=True
    ),
    Column("raw_bytes", "binary", "the record's bytes, only where they are not UTF-8 text", personal=True),
    Column("ingested_at", "timestamptz", "when the run that landed the object read it", required=True),
)

TABLE = Table(
    name="bronze_car_data",
    doc="one row per landed record; an object without records has one marker row",
    source="landing",
    scope={"source_id": "source_id"},
    key=("source_id", "source_row"),
    reads="delta",
    # Landing has already left out the objects that the table holds, so what arrives is what is added.
    select="SELECT * FROM {source}",
    columns=COLUMNS,
    partition=(("ingested_at", "day"),),
)
