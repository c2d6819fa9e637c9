"""A swap that really fails, and the same commit sent again: it meets its own metadata file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from carlake.lakehouse import Lakehouse
from carlake.refresh import commit as commits
from lakes import BRONZE, iceberg, lakehouse, nested, put

_REFUSE = "CREATE TRIGGER refuse BEFORE UPDATE ON iceberg_tables BEGIN SELECT RAISE(ABORT, 'not now'); END"


def alter(house: Lakehouse, sql: str) -> None:
    with closing(sqlite3.connect(house.lake.catalog_db)) as database:
        database.execute(sql)


def newest_metadata(house: Lakehouse) -> Path:
    folder = Path(iceberg(house, BRONZE).location().removeprefix("file://"), "metadata")
    return max(folder.glob("*.metadata.json"), key=lambda path: path.name.partition("-")[0])


def cut_short(house: Lakehouse) -> None:
    file = newest_metadata(house)
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize("meanwhile", [lambda house: None, cut_short], ids=["whole", "cut short"])
def test_a_commit_that_failed_at_the_swap_succeeds_when_it_is_sent_again(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Lakehouse], None]
) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "1.json", nested("CAR-1", "e1", "2025-10-01T08:00:00Z"))
        house.run()
        waited: list[str] = []

        def wait(seconds: float) -> None:
            """In place of waiting: what is wrong with the catalog is over by then."""
            if not waited:
                waited.append(newest_metadata(house).name)
                meanwhile(house)
                alter(house, "DROP TRIGGER refuse")

        monkeypatch.setattr(commits.commit, "__defaults__", (wait,))
        alter(house, _REFUSE)
        put(house.lake.landing / "2.json", nested("CAR-1", "e2", "2025-10-02T08:00:00Z"))
        report = house.run()
        assert report.status == "succeeded", report.steps
        assert len(waited) == 1 and Path(iceberg(house, BRONZE).metadata_location).name == waited[0]
        assert house.verify(deep=True).ok
