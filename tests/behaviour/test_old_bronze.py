"""An existing bronze is taken in as it lies, in whatever form, and stays as it is."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import held, lakehouse

_DAY = "event_primary_timestamp[:4] AS year, event_primary_timestamp[6:7] AS month"


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The events as they were first, and the tables that they give."""
    root = tmp_path_factory.mktemp("old-bronze")
    write(Fleet(events=60, cars=4, bad=0, days=70), root / "events")
    with lakehouse(root / "lake") as house:
        assert house.run([str(root / "events")]).status == "succeeded"
        return root / "events", held(house)


def _leaves(name: str, sql: str, kind: Any) -> Iterator[str]:
    if kind.id == "struct":
        for field, inner in kind.children:
            yield from _leaves(f"{name}.{field}", f"struct_extract({sql}, '{field}')", inner)
    else:
        yield f'{sql} AS "{name}"'


def _old_bronze(events: Path, how: str, into: Path) -> Path:
    """The events as an old lake's jobs left them."""
    reader = f"read_json('{events}/*', sample_size = -1, dateformat = '%%', timestampformat = '%%')"
    with duckdb.connect() as connection:
        relation = connection.sql(f"FROM {reader}")
        dotted = [
            leaf
            for name, kind in zip(relation.columns, relation.types, strict=True)
            for leaf in _leaves(name, f'"{name}"', kind)
        ]
        into.mkdir()
        copies = {
            "partitioned Parquet with structs": (
                f"SELECT *, {_DAY} FROM {reader}",
                "FORMAT parquet, PARTITION_BY (year, month)",
            ),
            "Parquet with dots in names": (f"SELECT {', '.join(dotted)} FROM {reader}", "FORMAT parquet"),
            "partitioned JSON": (f"SELECT *, {_DAY} FROM {reader}", "FORMAT json, PARTITION_BY (year, month)"),
            "CSV with dots in names": (f"SELECT {', '.join(dotted)} FROM {reader}", "FORMAT csv, HEADER"),
        }
        sql, options = copies[how]
        target = into if "PARTITION_BY" in options else into / "part-00000.snappy"
        connection.execute(f"COPY ({sql}) TO '{target}' ({options}, OVERWRITE_OR_IGNORE true)").fetchall()
    if how.startswith("CSV"):
        target.with_suffix(".gz").write_bytes(gzip.compress(target.read_bytes()))
        target.unlink()
    (into / "_SUCCESS").write_text("")
    return into


@pytest.mark.parametrize(
    "how",
    [
        "partitioned Parquet with structs",
        "Parquet with dots in names",
        "partitioned JSON",
        "CSV with dots in names",
    ],
)
def test_an_old_bronze_gives_the_tables_that_its_events_give(fed: tuple[Path, Any], how: str, tmp_path: Path) -> None:
    events, tables = fed
    old = _old_bronze(events, how, tmp_path / "bronze")
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    with lakehouse(tmp_path / "lake") as house:
        report = house.run([str(old)])
        assert report.status == "succeeded" and not report.problems
        assert held(house) == tables
        assert house.run([str(old)]).idle and house.verify().ok
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
