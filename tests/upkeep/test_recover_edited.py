"""Data files of older snapshots that another program has edited: what was landed counts, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from tests.upkeep.damages import contents, opened
from tests.upkeep.test_recover import recovered

from lakes import BRONZE, iceberg, nested, put

AT = "2025-10-01T00:00:00Z"


def edited(lake: Path, rows: int) -> None:
    """Another program overwrites bronze's table with texts of its own in the first rows."""
    with opened(lake) as house:
        table = iceberg(house, BRONZE)
        held = table.scan().to_arrow().sort_by("source_row")
        raw = [f'{{"edited": {row}}}' if row < rows else text for row, text in enumerate(held["raw"].to_pylist())]
        place = held.schema.get_field_index("raw")
        table.overwrite(held.set_column(place, held.schema.field("raw"), pa.array(raw, held["raw"].type)))


def of_one_object(lake: Path) -> Path:
    """A lake of one object of four records, without its archive."""
    with opened(lake) as house:
        put(lake / "landing" / "a.ndjson", *(nested("A", f"e{number}", AT) for number in range(4)))
        house.run()
    shutil.rmtree(lake / "archive")
    return lake


@pytest.fixture
def lake(small_folder: Path) -> Path:
    """A lake of one object, without its archive."""
    return of_one_object(small_folder / "lake")


def test_the_text_that_was_landed_counts_and_not_what_others_made_of_it(lake: Path) -> None:
    """The newest snapshot and one before it are edited; the oldest data file is right."""
    before = contents(lake)
    edited(lake, 4)
    edited(lake, 2)
    done = recovered(lake)
    assert not done.lost
    assert contents(lake) == before
