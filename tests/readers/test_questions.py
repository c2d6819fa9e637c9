"""The named queries of Athena's workgroup, on Trino, the engine that Athena is, against what `carlake query` says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from carlake_aws.questions import Question, questions

from readers.lake import Read
from readers.test_trino import properties
from servers.trino import Trino


def plain(value: Any) -> Any:
    """A value as both say it: Trino's protocol has times as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value.endswith(" UTC"):
        return datetime.fromisoformat(value.removesuffix(" UTC")).replace(tzinfo=UTC)
    return value


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.name)
def test_a_named_query_gives_on_trino_what_carlake_says(
    question: Question, sqlite_local: Read, running_trino: Trino
) -> None:
    house = sqlite_local.house
    with running_trino.catalog("carlake", properties(house.connect("trino").text)):
        found = running_trino.rows(question.sql, within=f"carlake.{house.settings.namespace}")
    told = [list(row.values()) for row in house.query(question.sql).to_pylist()]
    assert [[plain(value) for value in row] for row in found] == [[plain(value) for value in row] for row in told]
    if question.name.startswith("count_"):
        table = house.catalog.load_table(f"{house.settings.namespace}.{question.name.removeprefix('count_')}")
        ((count,),) = found
        assert count == int(table.current_snapshot().summary["total-records"]) > 0
    else:
        assert len(found) > 3
