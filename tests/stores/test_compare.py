"""Compare with objects of a store, as an old lake's bucket has them."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carlake.errors import ReadError
from carlake.look import formats
from carlake.settings import Settings
from lakes import flat, lakehouse
from stores.bucket import Bucket

STATE = "gold_car_current_state"


def test_a_table_with_objects_of_a_bucket(tmp_path: Path, bucket: Bucket, options: dict[str, str]) -> None:
    settings = Settings(threads=1, store_properties=options)
    with lakehouse(tmp_path / "lake", settings) as house:
        place = house.lake.landing / "one.ndjson"
        cars = [flat(f"C{number}", f"2025-10-0{number}T08:00:00Z", current_mileage_km=number) for number in range(1, 5)]
        place.write_text("\n".join(cars))
        house.run()
        rows = house.query(f"FROM {STATE}")
        parquet, csv = io.BytesIO(), io.BytesIO()
        pq.write_table(rows.slice(0, 3), parquet)
        formats.write(rows.slice(3), "csv", csv)
        bucket.put("gold/state/year=2025/a b.parquet", parquet.getvalue())
        bucket.put("gold/state/year=2025/rest%20.csv.gz", gzip.compress(csv.getvalue()))
        bucket.put("gold/state/_SUCCESS", "")
        found = house.compare(STATE, f"{bucket.uri}/gold/state/")
        assert found.equal and (found.rows.here, found.rows.there) == (4, 4)
        assert not house.compare(STATE, f"{bucket.uri}/gold/**/*.parquet").equal
        bucket.put("gold/state/part", b"PAR1" + b"x" * 100)
        with pytest.raises(ReadError, match=f"{bucket.uri}/gold/state/ cannot be read"):
            house.compare(STATE, f"{bucket.uri}/gold/state/")
