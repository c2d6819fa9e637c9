"""Bronze rows through the contracts on DuckDB: clean records by SQL, all others by the reference judge."""

from __future__ import annotations

import itertools
from datetime import datetime
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from carlake.contracts.contract import CSV_MARK, ContractSet
from carlake.contracts.judge import Accepted, judge_text
from carlake.contracts.judge import parse as parse_json
from carlake.engines.duckdb.extract import Extraction
from carlake.engines.schemas import ARROW, DUCKDB
from carlake.tables.quarantine_car_data import COLUMNS as QUARANTINE
from carlake.tables.table import Column

# Up to this many records the judge alone is quicker than planning the SQL.
FEW = 200
# A contract is worth its SQL when at least one of so many records, looked at in advance, is of its shape.
_SAMPLE = 16

_QUARANTINED = tuple(column for column in QUARANTINE if column.name != "quarantined_at")
_READ = "source_id, source_row, source_modified_at, record_hash, event_id, car_chassis, raw, ingested_at"
_RAW = _READ.split(", ").index("raw")


def create_accepted(
    con: duckdb.DuckDBPyConnection, name: str, contracts: ContractSet, *, temporary: bool = False
) -> None:
    """Create the empty table that accepted records go into, of the contracts' `parsed_columns`."""
    _create(con, name, contracts.parsed_columns, temporary)


def create_quarantined(con: duckdb.DuckDBPyConnection, name: str, *, temporary: bool = False) -> None:
    """Create the empty table that refused records go into: quarantine's columns but `quarantined_at`."""
    _create(con, name, _QUARANTINED, temporary)


def _create(con: duckdb.DuckDBPyConnection, name: str, columns: tuple[Column, ...], temporary: bool) -> None:
    declared = ", ".join(f'"{column.name}" {DUCKDB[column.type]}' for column in columns)
    con.execute(f"CREATE {'TEMP ' if temporary else ''}TABLE {name} ({declared})")


def parse(
    con: duckdb.DuckDBPyConnection,
    records: str,
    contracts: ContractSet,
    accepted: str,
    quarantined: str,
    *,
    few: int = FEW,
) -> None:
    """Insert the records that a contract accepts into `accepted`, the others into `quarantined`.

    records      name of a relation with bronze's columns (but source_uri, source_size, event_timestamp), and `reason`
                 and `detail`, not null where the record is already refused. (source_id, source_row) is its key. Rows
                 with neither raw nor raw_bytes are marks of empty objects and left out.
    accepted     name of a table as `create_accepted` makes it
    quarantined  name of a table as `create_quarantined` makes it; bytes that are not UTF-8 are put in `raw` with \\xNN
                 for each byte that is not, and \\\\ for each backslash
    few          up to this many records are left to the judge alone

    The connection's TimeZone is UTC, and it is not within a transaction: a statement that fails is tried another way.
    """
    _refused_already(con, records, quarantined)
    pending = f"SELECT {_READ} FROM {records} WHERE raw IS NOT NULL AND reason IS NULL"
    rows = con.execute(f"{pending} LIMIT {few + 1}").fetchall()
    tried: set[tuple[str, bool]] = set()
    source = records
    left = f"carlake_left_{next(_NUMBERS)}"
    try:
        while len(rows) > few and (shape := _likely(rows, contracts, tried)) is not None:
            tried.add(shape)
            if not _extract(con, source, contracts, shape, accepted):
                continue
            if not _take_doubtful(con, accepted, records, left):
                return
            source = left
            rows = con.execute(f"SELECT {_READ} FROM {left}").fetchall()
        if len(rows) > few and source == records:
            rows = con.execute(pending).fetchall()
        _judge(con, rows, contracts, accepted, quarantined)
    finally:
        con.unregister(left)


def extraction_for(chunk: pa.Table, contracts: ContractSet) -> Extraction | None:
    """The SQL of the contract that most records of a chunk have; None where none is recognised."""
    sound = chunk.filter(pc.and_(pc.is_valid(chunk["raw"]), pc.is_null(chunk["reason"])))
    sample = sound.select(_READ.split(", ")).slice(0, 50 * _SAMPLE)
    rows = [tuple(row.values()) for row in sample.to_pylist()]
    shape = _likely(rows, contracts, set()) if rows else None
    return _extraction(contracts, *shape) if shape else None


_NUMBERS = itertools.count()


@lru_cache(maxsize=32)
def _extraction(contracts: ContractSet, name: str, csv: bool) -> Extraction:
    """The SQL of a contract; made once, since many chunks follow."""
    position = next(n for n, contract in enumerate(contracts.contracts) if contract.name == name)
    return Extraction(contracts.contracts[position], csv, contracts.contracts[:position])


def _likely(
    rows: list[tuple[Any, ...]], contracts: ContractSet, tried: set[tuple[str, bool]]
) -> tuple[str, bool] | None:
    """The contract, and whether as CSV, that most of a look at the records have and that was not tried yet."""
    counts: dict[tuple[str, bool], int] = {}
    for text in (row[_RAW] for row in rows[:: max(1, len(rows) // _SAMPLE)]):
        try:
            record = parse_json(text)
        except ValueError:
            continue
        contract = contracts.recognise(record) if isinstance(record, dict) else None
        if contract is not None:
            shape = (contract.name, text.startswith(CSV_MARK))
            counts[shape] = counts.get(shape, 0) + 1
    counts = {shape: count for shape, count in counts.items() if shape not in tried}
    return max(counts, key=lambda shape: counts[shape]) if counts else None


def _extract(
    con: duckdb.DuckDBPyConnection, source: str, contracts: ContractSet, shape: tuple[str, bool], accepted: str
) -> bool:
    """Insert every record of `source` as the contract's SQL reads it; `contract` is null in those that are not clean.

    False, with nothing inserted, where DuckDB cannot run the SQL (it does not know a zone, say).
    """
    extraction = _extraction(contracts, *shape)
    for safe in (False, True):
        try:
            con.execute(f"INSERT INTO {accepted} {extraction.select(contracts.parsed_columns, source, safe=safe)}")
            return True
        except (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError):
            continue
    return False


def _take_doubtful(con: duckdb.DuckDBPyConnection, accepted: str, records: str, left: str) -> bool:
    """Take the records that were not clean out of `accepted` and register them as `left`; false if there are none."""
    keys = con.execute(f"SELECT source_id, source_row FROM {accepted} WHERE contract IS NULL").fetchall()
    if not keys:
        return False
    con.execute(f"DELETE FROM {accepted} WHERE contract IS NULL")
    ids, numbers = zip(*keys, strict=True)
    con.register(left, pa.table({"source_id": pa.array(ids, pa.string()), "source_row": pa.array(numbers, pa.int64())}))
    doubtful = con.sql(
        f"SELECT {_READ}, CAST(NULL AS VARCHAR) AS reason FROM {records} SEMI JOIN {left} USING (source_id, source_row)"
    ).to_arrow_table()
    con.register(left, doubtful)
    return True


def _refused_already(con: duckdb.DuckDBPyConnection, records: str, quarantined: str) -> None:
    """Put what the splitter refused into quarantine; of bytes, a text that loses none."""
    rows = con.execute(
        f"SELECT source_id, source_row, event_id, car_chassis, raw, coalesce(reason, 'not_utf8'), detail, raw_bytes "
        f"FROM {records} WHERE (reason IS NOT NULL OR raw IS NULL) AND (raw IS NOT NULL OR raw_bytes IS NOT NULL)"
    ).fetchall()
    names = ("source_id", "source_row", "event_id", "car_chassis", "raw", "reason", "detail")
    refused = [dict(zip(names, row, strict=False)) for row in rows]
    for record, row in zip(refused, rows, strict=True):
        if record["raw"] is None:
            record["raw"] = escaped(row[-1])
    if refused:
        _insert(con, quarantined, _QUARANTINED, refused)


def escaped(data: bytes) -> str:
    r"""Bytes as text that loses none: \xNN for a byte that is not UTF-8, \\ for a backslash."""
    return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _judge(
    con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], contracts: ContractSet, accepted: str, quarantined: str
) -> None:
    """Judge records one by one."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    names = _READ.split(", ")
    for row in rows:
        lineage = dict(zip(names, row, strict=True))
        text = lineage.pop("raw")
        modified_at: datetime = lineage.pop("source_modified_at") or lineage["ingested_at"]
        verdict = judge_text(text, contracts, modified_at=modified_at)
        if isinstance(verdict, Accepted):
            good.append(
                {
                    **lineage,
                    "event_id": None,
                    **verdict.values,
                    "contract": verdict.contract,
                    "contract_version": verdict.version,
                }
            )
        else:
            bad.append(
                {
                    **lineage,
                    "contract": verdict.contract,
                    "contract_version": verdict.version,
                    "reason": verdict.reason,
                    "detail": verdict.detail,
                    "raw": text,
                }
            )
    if good:
        _insert(con, accepted, contracts.parsed_columns, good)
    if bad:
        _insert(con, quarantined, _QUARANTINED, bad)


def _insert(
    con: duckdb.DuckDBPyConnection, table: str, columns: tuple[Column, ...], rows: list[dict[str, Any]]
) -> None:
    data = pa.table({c.name: pa.array([row.get(c.name) for row in rows], ARROW[c.type]) for c in columns})
    name = f"carlake_rows_{next(_NUMBERS)}"
    con.register(name, data)
    try:
        con.execute(f"INSERT INTO {table} SELECT * FROM {name}")
    finally:
        con.unregister(name)
