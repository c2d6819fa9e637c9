"""The tombstones of forgotten cars, told from the data files alone. None is ever taken away, so every file in the table's
folder counts, whatever snapshot named it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from carlake.engines.schemas import arrow_schema
from carlake.landing.forgotten import FORGOTTEN_HASH
from carlake.storage.store_paths import AnyPath, named_below, parquet
from carlake.tables.declare import BRONZE, OPS_FORGOTTEN
from carlake.upkeep.inspection.examined import file_trouble

if TYPE_CHECKING:
    from carlake.upkeep.inspection.lake import Inspection


def buried(lake: Inspection) -> pa.Table:
    """Each tombstone that a readable data file in the folder holds, once, as the table's rows."""
    schema = arrow_schema(lake.declared[OPS_FORGOTTEN].columns)
    rows: dict[str, dict[str, object]] = {}
    for path in named_below(lake.tables[OPS_FORGOTTEN].folder / "data", "*.parquet"):
        for row in _rows(path, schema.names):
            rows.setdefault(str(row["tombstone"]), row)
    return pa.Table.from_pylist(list(rows.values()), schema=schema)


def unknown(lake: Inspection) -> int:
    """How many of them the table itself does not know: its newest snapshot went, or a file of it that tells."""
    if OPS_FORGOTTEN not in lake.declared:
        return 0
    found = set(buried(lake)["tombstone"].to_pylist())
    return len(found - _known(lake)) if found else 0


def are_lost(lake: Inspection) -> bool:
    """Whether bronze has records of forgotten cars, and no file of the lake the tombstone of any. Reads bronze's files."""
    if OPS_FORGOTTEN not in lake.declared or BRONZE not in lake.tables or buried(lake).num_rows:
        return False
    return any(_has_forgotten(path) for path in _files(lake, BRONZE))


def _files(lake: Inspection, name: str) -> list[AnyPath]:
    return [lake.tables[name].place.path(file.file_path) for file in lake.files(name).data]


def _known(lake: Inspection) -> set[object]:
    return {row["tombstone"] for path in _files(lake, OPS_FORGOTTEN) for row in _rows(path, ["tombstone"])}


def _rows(path: AnyPath, names: list[str]) -> list[dict[str, object]]:
    if file_trouble(path, None, deep=True):
        return []
    with pq.ParquetFile(parquet(path)) as file:
        rows: list[dict[str, object]] = file.read(names).to_pylist()
    return rows


def _has_forgotten(path: AnyPath) -> bool:
    try:
        with pq.ParquetFile(parquet(path), read_dictionary=["record_hash"]) as file:
            batches = file.iter_batches(columns=["record_hash"])
            return any(FORGOTTEN_HASH in batch.column(0).dictionary.to_pylist() for batch in batches)
    except Exception:  # noqa: BLE001  (a damaged data file has a check of its own)
        return False
