"""A control for the search: a car of a random name, planted by the same writers, which the search must find first."""

from __future__ import annotations

import gzip
import io
import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from carlake.landing.rewriting import rewrite_object
from carlake.settings import Settings
from carlake.upkeep.erasure.search import Kind, Needle, Searched, search

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


def control(house: Lakehouse) -> set[Kind]:
    """Plant a control car in a small lake of its own and search for it; gives the kinds of places where it was found.

    That lake is made by the same code: landed in every form, committed, archived, written anew. It lies in the system's
    folder for temporary files and is removed at the end.
    """
    car = f"CONTROL{secrets.token_hex(6).upper()}"
    with tempfile.TemporaryDirectory(prefix="carlake-control-") as folder:
        _plant(house, Path(folder), car)
        return {place.kind for place in search(Path(folder), Needle([car]), Searched())}


def _plant(house: Lakehouse, folder: Path, car: str) -> None:
    def record(number: int) -> bytes:
        at = f"2025-01-01T00:00:0{number}Z"
        return json.dumps({"carChassis": car, "telemetryTimestamp": at, "metrics": {"engineTempCelsius": 120}}).encode()

    table = io.BytesIO()
    pq.write_table(pa.table({"carChassis": [car], "telemetryTimestamp": ["2025-01-01T00:00:05Z"]}), table)
    objects = {
        f"{car}.json": record(0),
        "1.json.gz": gzip.compress(record(1)),
        "2.json.zst": zstandard.compress(record(2)),
        "3.csv": f"carChassis,telemetryTimestamp\n{car},2025-01-01T00:00:03Z\n".encode(),
        "4.json": record(4).replace(car.encode(), "".join(f"\\u{ord(letter):04x}" for letter in car).encode()),
        "5.parquet": table.getvalue(),
        "6.json": record(6)[:-5],
    }
    with type(house).create(folder / "lake", Settings(threads=1)) as lake:
        for name, content in objects.items():
            (lake.lake.landing / name).write_bytes(content)
        lake.run()
        # As an erasure leaves a broken record of another car.
        for path in lake.lake.archive.glob("*/*/6.json"):
            rewrite_object(path, lambda batch: batch, lake.engine.max_record_bytes, path)
