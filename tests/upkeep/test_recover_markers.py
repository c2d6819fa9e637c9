"""What bronze lost with a file, and what retention had taken out of it before: only the second has a marker row."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.upkeep.damages import contents, data_files, manifests, now, opened, table_folder

from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.recovery.recover import Recovery
from lakes import BRONZE, QUARANTINE, SILVER, nested, put, rows_of

AT = "2025-10-01T00:00:00Z"
KEPT = Settings(threads=1, bronze_retention_days=30, releases_kept=0)
OFF = Settings(threads=1)


def landed(lake: Path, name: str, settings: Settings, days_ago: int = 0) -> None:
    """A run over one object: four records that are right and one that is not."""
    at = now() - timedelta(days=days_ago)
    with Lakehouse.create(lake, settings, clock=lambda: at) as house:
        put(lake / "landing" / name, *(nested(name, f"e{number}", AT) for number in range(4)), f"broken {name}")
        assert house.run().status == "succeeded"


def recovered(lake: Path, settings: Settings) -> Recovery:
    done = Lakehouse.recover(lake, settings, clock=now)
    assert done.ok, done.verification.problems
    return done


def rows(lake: Path) -> dict[str, int]:
    with opened(lake) as house:
        return {name: len(rows_of(house, name)) for name in (BRONZE, SILVER, QUARANTINE)}


def file_of(lake: Path, name: str) -> Path:
    """The data file of bronze with an object's rows."""
    files = data_files(lake, BRONZE)
    return next(path for path in files if any(name in str(uri) for uri in pq.read_table(path)["source_uri"]))


def without_old_files(lake: Path) -> None:
    live = data_files(lake, BRONZE)
    for path in (table_folder(lake, BRONZE) / "data").rglob("*.parquet"):
        if path not in live:
            path.unlink()


@pytest.fixture
def aged(small_folder: Path) -> Path:
    """A lake of two objects: retention has removed the records of one, of which nothing else is left."""
    lake = small_folder / "lake"
    landed(lake, "old", KEPT, days_ago=100)
    landed(lake, "new", KEPT)
    with Lakehouse.open(lake, KEPT, clock=now) as house:
        for _ in range(3):
            house.maintain()
    without_old_files(lake)
    shutil.rmtree(lake / "archive")
    assert rows(lake) == {BRONZE: 6, SILVER: 8, QUARANTINE: 2}
    return lake


def test_an_object_that_the_archive_has_gets_no_marker(small_folder: Path) -> None:
    """It is landed again, whatever retention is set to."""
    lake = small_folder / "lake"
    landed(lake, "lost", KEPT)
    landed(lake, "stays", KEPT)
    before = contents(lake)
    file_of(lake, "lost").unlink()
    done = recovered(lake, KEPT)
    assert not done.lost
    assert contents(lake) == before


def test_an_object_that_retention_cannot_have_taken_gets_none(small_folder: Path) -> None:
    """It is named, and can be landed again."""
    lake = small_folder / "lake"
    landed(lake, "lost", KEPT)
    landed(lake, "stays", KEPT)
    before = contents(lake)
    kept = next((lake / "archive").rglob("lost")).rename(small_folder / "lost")
    shutil.rmtree(lake / "archive")
    (source_id,) = set(pq.read_table(file_of(lake, "lost"))["source_id"].to_pylist())
    file_of(lake, "lost").unlink()
    done = recovered(lake, KEPT)
    assert any(source_id in each.what and "5 records" in each.why for each in done.lost), done.lost
    assert rows(lake) == {BRONZE: 5, SILVER: 4, QUARANTINE: 1}
    kept.rename(lake / "landing" / "lost")
    with opened(lake) as house:
        house.run()
    assert contents(lake) == before


@pytest.mark.parametrize("settings", [KEPT, OFF], ids=["kept on", "turned off"])
@pytest.mark.parametrize("damage", ["marker's file gone", "manifest gone too"])
def test_marker_rows_come_back(aged: Path, settings: Settings, damage: str) -> None:
    """Silver and quarantine keep the rows that nothing else has, though retention may be off by now."""
    before = rows(aged)
    file_of(aged, "old").unlink()
    if damage == "manifest gone too":
        manifests(aged, BRONZE)[-1].unlink()
    done = recovered(aged, settings)
    assert not done.lost
    assert rows(aged) == before
