"""DuckDB's own Iceberg reader reads the tables by the SQL that `carlake connect duckdb` prints, now and at a release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from readers.conftest import CREDENTIALS
from readers.figures import DUCKDB, figures, query
from readers.lake import Read
from servers import duckdb_reader


def answers(text: str, queries: list[str], variables: Mapping[str, str] | None = None) -> list[list[object]]:
    """The row of each query, after the text was pasted."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("duckdb_session.py")],
        input=json.dumps({"text": text, "queries": queries}),
        env={**os.environ, "PYTHONPATH": str(duckdb_reader.provide()), **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(read: Read, variables: Mapping[str, str] | None = None) -> None:
    """Read a lake, and compare."""
    connection = read.house.connect("duckdb", as_of_run=read.run)
    now = [query(table, DUCKDB, connection.table.format(table.name)) for table in read.tables]
    then = [query(table, DUCKDB, connection.table_at_release.format(table.name)) for table in read.of_release]
    tables = [*read.tables, *read.of_release]
    rows = answers(connection.text, [*now, *then], variables)
    found = [figures(table, row) for table, row in zip(tables, rows, strict=True)]
    assert dict(zip((table.name for table in read.tables), found, strict=False)) == read.now
    assert dict(zip((table.name for table in read.of_release), found[len(now) :], strict=True)) == read.then


def test_duckdb_reads_every_table_now_and_at_a_release(any_cell: Read) -> None:
    read(any_cell, CREDENTIALS)
