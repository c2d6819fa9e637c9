"""A lake whose settings name another catalog than before: nothing begins anew beside the tables that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import BRONZE, NOON, SILVER, heads, lakehouse, nested, put, step


def other(folder: Path) -> Settings:
    """Settings with a catalog that knows nothing yet."""
    return Settings(threads=1, catalog="sql", catalog_uri=f"sqlite:///{folder}/other.db")


def test_a_new_catalog_is_told_of_the_tables_before_anything_is_landed(small_folder: Path) -> None:
    root = small_folder / "lake"
    with lakehouse(root) as house:
        house.run([str(put(small_folder / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z")))])
        before = heads(house)
    more = str(put(small_folder / "b.json", nested("A", "e2", "2025-10-02T00:00:00Z")))
    with Lakehouse.open(root, other(small_folder)) as house:
        report = house.run([more])
        assert report.status == "failed"
        assert "knows no table of this lake" in (said := str(step(report, BRONZE).error)) and "carlake recover" in said
        assert heads(house) == {}
        reads: list[Callable[[], object]] = [
            lambda: house.query(f"SELECT count(*) FROM {SILVER}"),
            *(house.tables, house.runs, house.verify, house.plan, house.quarantine_reasons),
            *(lambda: house.trace("A"), lambda: house.connect("duckdb"), lambda: house.compare(SILVER, BRONZE)),
        ]
        for read in reads:
            with pytest.raises(LakeError, match="knows no table of this lake") as refused:
                read()
            assert "carlake recover" in refused.value.advice
    recovery = Lakehouse.recover(root, other(small_folder), clock=lambda: NOON)
    assert recovery.ok
    with Lakehouse.open(root, other(small_folder)) as house:
        assert {name: head for name, head in heads(house).items() if name in before} == before
        assert house.run([more]).status == "succeeded"
        assert house.query(f"SELECT count(*) AS rows FROM {SILVER}").to_pylist() == [{"rows": 2}]
        assert house.verify().ok


def test_a_new_catalog_does_not_become_the_lakes_own_by_what_it_notes(small_folder: Path) -> None:
    """The first process writes its runs down later, so that its folder of them says nothing yet."""
    root = small_folder / "lake"
    with lakehouse(root) as house:
        house.run([str(put(small_folder / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z")))])
        more = put(house.lake.landing / "b.json", nested("A", "e2", "2025-10-02T00:00:00Z"))
        with Lakehouse.open(root, other(small_folder)) as mistaken:
            for _ in range(2):
                assert mistaken.run().status == "failed" and heads(mistaken) == {}
            with pytest.raises(LakeError, match="knows no table of this lake"):
                mistaken.forget("A")
            assert heads(mistaken) == {} and more.exists()
        assert house.run().status == "succeeded" and house.verify(deep=True).ok


def test_a_new_lake_may_have_any_catalog(small_folder: Path) -> None:
    with Lakehouse.create(small_folder / "lake", other(small_folder)) as house:
        house.run([str(put(small_folder / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z")))])
        assert set(heads(house)) >= {BRONZE, SILVER}
