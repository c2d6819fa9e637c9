"""The floor: DuckDB alone turns NDJSON into one typed Parquet file (zstd). Nothing that carlake does can be faster.

    floor.py INPUT OUTPUT THREADS COLUMNS

COLUMNS is a JSON object of DuckDB types by name. They are given, not detected: one broken line among those that DuckDB
samples makes it fall back to a single column of text. Broken lines become NULLs or are left out.
"""

from __future__ import annotations

import json
import sys
import time

import duckdb


def main(source: str, target: str, threads: str, columns: str) -> None:
    """Read, convert, write; print the seconds that this took and how many rows came of it."""
    started, worked = time.perf_counter(), time.process_time()
    connection = duckdb.connect()
    connection.execute(f"SET threads = {int(threads)}")
    connection.execute("SET preserve_insertion_order = false")
    types = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in json.loads(columns).items())
    read = f"read_json({_text(source)}, format = 'newline_delimited', ignore_errors = true, columns = {{{types}}})"
    done = connection.execute(f"COPY (FROM {read}) TO {_text(target)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
    took = {"call_seconds": time.perf_counter() - started, "call_cpu_seconds": time.process_time() - worked}
    print(json.dumps({"runs": [{**took, "rows": done[0] if done else 0}]}))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


if __name__ == "__main__":
    main(*sys.argv[1:])
