"""PyIceberg, pandas and Polars read the tables by what `carlake connect` prints, now and at a release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from readers.conftest import CREDENTIALS
from readers.figures import DUCKDB, Figures, figures, query
from readers.lake import Read

# What comes after the pasted text: the same figures of what it read, computed by DuckDB on Arrow.
_ASK = """
import json, sys
assert not [name for name in sys.modules if name.partition(".")[0] == "carlake"]
import duckdb
with duckdb.connect() as connection:
    connection.execute("SET TimeZone = 'UTC'")
    for name, arrow, query in asked():
        connection.register(name, arrow)
        print(json.dumps(connection.execute(query).fetchall()[0], default=str))
"""
_PYICEBERG = """
def asked():
    for name, now, query in QUERIES:
        table = catalog.load_table(f"carlake.{name}")
        yield name, (table.scan() if now else table.scan(snapshot_id=table.snapshot_by_name(TAG).snapshot_id)).to_arrow(), query
"""
_POLARS = """
def asked():
    for name, now, query in QUERIES:
        yield name, (tables if now else release)[name].collect().to_arrow(), query
"""


def printed(text: str, more: str, variables: Mapping[str, str] | None = None) -> list[str]:
    """What Python prints that is given the text and more, in a process of its own, warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{text}\n{more}"],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def read(read: Read, tool: str, more: str, variables: Mapping[str, str] | None = None) -> None:
    """Read a lake by a tool, and compare."""
    connection = read.house.connect(tool, as_of_run=read.run)
    tables = [(table, True) for table in read.tables] + [(table, False) for table in read.of_release]
    queries = [(table.name, now, query(table, DUCKDB, table.name)) for table, now in tables]
    given = f"TAG = 'run_{read.run}'\nQUERIES = {queries!r}\n"
    lines = printed(connection.text, given + more + _ASK, variables)[-len(queries) :]
    found: list[Figures] = [figures(table, json.loads(line)) for (table, _), line in zip(tables, lines, strict=True)]
    assert dict(zip((table.name for table in read.tables), found, strict=False)) == read.now
    assert dict(zip((table.name for table in read.of_release), found[len(read.tables) :], strict=True)) == read.then


@pytest.mark.parametrize(("tool", "more"), [("pyiceberg", _PYICEBERG), ("polars", _POLARS)])
def test_python_reads_every_table_now_and_at_a_release(any_cell: Read, tool: str, more: str) -> None:
    read(any_cell, tool, more, CREDENTIALS)


def test_the_text_for_pyiceberg_counts_and_reads_the_past(any_cell: Read) -> None:
    text = any_cell.house.connect("pyiceberg", as_of_run=any_cell.run).text
    *counts, cars = printed(text, "print(cars.num_rows, then.num_rows, table.name())", CREDENTIALS)
    assert dict(line.split() for line in counts) == {f"carlake.{n}": str(f["rows"]) for n, f in any_cell.now.items()}
    state = "gold_car_current_state"
    assert cars == f"{any_cell.now[state]['rows']} {any_cell.then[state]['rows']} ('carlake', '{state}')"


def test_pandas_gets_a_frame_now_and_at_a_release(any_cell: Read) -> None:
    connection = any_cell.house.connect("pandas", as_of_run=any_cell.run)
    more = "import json\nprint(json.dumps([[len(f), f.current_mileage_km.sum(), str(f.event_timestamp.max())] for f in (cars, then)]))"
    *_, found = printed(connection.text, more, CREDENTIALS)
    sql = "SELECT count(*), sum(current_mileage_km), CAST(max(event_timestamp) AS VARCHAR) FROM gold_car_current_state"
    own = [
        [column[0].as_py() for column in any_cell.house.query(sql, as_of_run=run).columns]
        for run in ("last", any_cell.run)
    ]
    assert [[rows, pytest.approx(km), f"{at}:00"] for rows, km, at in own] == json.loads(found)
