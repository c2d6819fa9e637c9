"""What is lost is named and counted, whatever else comes back by the same recovery."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from tests.upkeep.damages import contents, data_files, folder_gone, manifests
from tests.upkeep.test_recover_markers import AT, OFF, file_of, landed, recovered, rows

from lakes import BRONZE, QUARANTINE, SILVER, nested


@pytest.fixture
def lake(small_folder: Path) -> Path:
    """A lake of two objects of five records each, the first of which is not in the archive, but beside the lake."""
    lake = small_folder / "lake"
    for name in ("first", "second"):
        landed(lake, name, OFF)
    first = next((lake / "archive").rglob("first"))
    first.rename(small_folder / "first")
    first.parent.rmdir()
    return lake


def first_of(lake: Path) -> str:
    """The source id of the first object."""
    return sha256((lake.parent / "first").read_bytes()).hexdigest()


def lost(lake: Path) -> list[str]:
    return [each.what for each in recovered(lake, OFF).lost]


def test_what_bronze_never_held_makes_up_for_nothing(lake: Path) -> None:
    """An archived object that bronze never held is landed beside, with as many records as were lost."""
    content = "".join(f"{nested('other', f'e{number}', AT)}\n" for number in range(5)).encode()
    folder = lake / "archive" / "2025-10-30" / sha256(content).hexdigest()
    folder.mkdir(parents=True)
    (folder / "other.ndjson").write_bytes(content)
    file_of(lake, "first").unlink()
    assert lost(lake) == [f"object {first_of(lake)}", f"5 of the 5 records in the damaged data files of {BRONZE}"]
    assert rows(lake) == {BRONZE: 10, SILVER: 9, QUARANTINE: 1}


@pytest.mark.parametrize("damage", ["manifest", "manifest list"])
def test_what_is_lost_beside_a_manifest_is_counted(lake: Path, damage: str) -> None:
    file_of(lake, "first").unlink()
    manifests(lake, BRONZE)[0 if damage == "manifest list" else -1].unlink()
    assert lost(lake) == [f"object {first_of(lake)}", f"5 of the 10 records of {BRONZE}"]


def test_nothing_is_said_where_all_came_back(lake: Path) -> None:
    before = contents(lake)
    file_of(lake, "second").unlink()
    manifests(lake, BRONZE)[-1].unlink()
    assert lost(lake) == []
    assert contents(lake) == before


def test_an_object_is_named_though_nothing_of_bronze_is_left(lake: Path) -> None:
    folder_gone(BRONZE)(lake)
    assert lost(lake) == [f"object {first_of(lake)}"]
    assert len(data_files(lake, BRONZE)) == 1
