"""Recover: a forgotten car stays out, whatever its tombstone's table has lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.upkeep.damages import all_metadata_gone, data_files, folder_gone, gone, look, now, on_manifest, on_metadata

from carlake.lakehouse import Lakehouse
from carlake.upkeep.checks.doctor import diagnose
from lakes import SILVER, lakehouse, nested, put, rows_of

CAR, OTHER, FORGOTTEN = "WVWZZZ1JZXW000001", "WVWZZZ1JZXW000002", "ops_forgotten"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake in which two of three cars were forgotten."""
    with lakehouse(tmp_path / "lake") as house:
        for car in (CAR, OTHER, "1FTFW1ET5DFC10312"):
            put(house.lake.landing / f"{car}.json", nested(car, "e1", "2025-10-01T00:00:00Z"))
            house.run()
        house.forget(CAR)
        house.forget(OTHER)
    return tmp_path / "lake"


def _cars_after_more(root: Path) -> set[object]:
    with lakehouse(root) as house:
        records = [nested(car, "e2", "2025-10-02T00:00:00Z") for car in (CAR, OTHER)]
        put(house.lake.landing / "more.ndjson", *records)
        house.run()
        return {row["car_chassis"] for row in rows_of(house, SILVER)}


LOST: dict[str, Callable[[Path], str]] = {
    "newest metadata": on_metadata(FORGOTTEN, gone),
    "all metadata": all_metadata_gone(FORGOTTEN),
    "manifest": on_manifest(FORGOTTEN, gone),
}


@pytest.mark.parametrize("what", LOST)
def test_its_tombstone_comes_back_from_the_data_files(root: Path, what: str) -> None:
    LOST[what](root)
    done = Lakehouse.recover(root, clock=now)
    assert done.ok and not done.lost, done
    assert _cars_after_more(root) == {"1FTFW1ET5DFC10312"}
    assert Lakehouse.recover(root, clock=now).ok


def test_a_tombstone_that_is_lost_is_named(root: Path) -> None:
    data_files(root, FORGOTTEN)[0].unlink()
    done = Lakehouse.recover(root, clock=now)
    assert [item.what for item in done.lost] == [f"1 row of {FORGOTTEN}"]


def test_that_all_are_lost_is_named(root: Path) -> None:
    folder_gone(FORGOTTEN)(root)
    found = [finding for finding in diagnose(look(root, deep=False)).findings if finding.check == "tombstones-lost"]
    assert [finding.severity for finding in found] == ["error"]
    done = Lakehouse.recover(root, clock=now)
    assert done.ok and [item.what for item in done.lost] == ["the tombstones of all forgotten cars"]
