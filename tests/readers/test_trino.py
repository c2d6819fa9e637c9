"""Trino reads the tables with the properties that `carlake connect trino` prints, now and at a release."""

from __future__ import annotations

from readers.figures import TRINO, figures, query
from readers.lake import Read
from servers.trino import Trino


def properties(text: str) -> dict[str, str]:
    """The properties of a catalog's file: what Trino reads of it."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_trino_reads_every_table_now_and_at_a_release(cell: Read, running_trino: Trino) -> None:
    connection = cell.house.connect("trino", as_of_run=cell.run)
    with running_trino.catalog("carlake", properties(connection.text)):
        now, then = (
            {
                table.name: figures(table, running_trino.rows(query(table, TRINO, named.format(table.name)))[0])
                for table in tables
            }
            for named, tables in (
                (connection.table, cell.tables),
                (connection.table_at_release, cell.of_release),
            )
        )
    assert now == cell.now
    assert then == cell.then
