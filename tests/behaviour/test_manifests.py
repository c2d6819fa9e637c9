"""What a commit writes anew of a table's manifests: those with a file that goes, and small ones when they are many."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.manifest import DataFile, ManifestFile

from carlake.engines import manifests as manifests_module
from carlake.engines import snapshots
from carlake.engines.manifests import ERASURE, KIND, live_files, manifests_of
from carlake.lakehouse import Lakehouse
from carlake.refresh.commit import commit
from carlake.storage import kept as kept_module
from lakes import SILVER, lakehouse, nested, put

MOST = 10


@pytest.fixture(autouse=True)
def _small_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_MOST_ENTRIES", MOST)


@pytest.fixture
def house(small_folder: Path) -> Lakehouse:
    """A lake with one event."""
    house = lakehouse(small_folder / "lake")
    house.run([str(put(small_folder / "a.json", nested("A", "e1", "2025-10-01T00:00:00Z")))])
    return house


def described(real: DataFile, number: int) -> DataFile:
    """A file that is only described: nothing here reads it."""
    file = DataFile.from_args(
        content=real.content,
        file_path=f"{real.file_path.rpartition('/')[0]}/file-{number:05d}.parquet",
        file_format=real.file_format,
        partition=real.partition,
        record_count=1,
        file_size_in_bytes=1,
    )
    file.spec_id = real.spec_id
    return file


def change(house: Lakehouse, added: list[DataFile], removed: list[DataFile], **properties: str) -> None:
    """Commit a snapshot of silver that adds and removes files. Files that are only described are not looked for."""
    iceberg = house.catalog.load_table(f"carlake.{SILVER}")
    base = iceberg.metadata.current_snapshot_id
    staged = snapshots.stage_snapshot(
        iceberg, SILVER, added, removed, properties, base=base, rows_added=len(added), rows_removed=len(removed)
    )
    object.__setattr__(staged, "data_files", ())
    commit(house.catalog, iceberg, staged)


def manifests(house: Lakehouse) -> list[ManifestFile]:
    """The manifests of silver's newest snapshot."""
    iceberg = house.catalog.load_table(f"carlake.{SILVER}")
    return manifests_of(iceberg.io, iceberg.current_snapshot())


def live(house: Lakehouse) -> dict[str, DataFile]:
    """The data files of silver, by name."""
    iceberg = house.catalog.load_table(f"carlake.{SILVER}")
    found = live_files(iceberg, iceberg.metadata.current_snapshot_id)
    assert len({file.file_path for file in found}) == len(found)
    return {file.file_path.rpartition("/")[2]: file for file in found}


def test_a_file_that_goes_has_its_own_manifest_written_anew_and_no_other(house: Lakehouse) -> None:
    (real,) = live(house).values()
    change(house, [described(real, number) for number in range(35)], [])
    before = {manifest.manifest_path: manifest for manifest in manifests(house)}
    assert sorted(m.added_files_count for m in before.values()) == [1, 5, 10, 10, 10]
    gone = live(house)["file-00017.parquet"]
    change(house, [described(real, 99)], [gone])
    after = {manifest.manifest_path: manifest for manifest in manifests(house)}
    assert len(before.keys() - after.keys()) == 1
    new = [after[path] for path in after.keys() - before.keys()]
    assert sorted((m.added_files_count, m.existing_files_count, m.deleted_files_count) for m in new) == [
        (0, 0, 1),
        (0, 9, 0),
        (1, 0, 0),
    ]
    assert live(house).keys() == {
        real.file_path.rpartition("/")[2],
        *(f"file-{number:05d}.parquet" for number in (*range(17), *range(18, 35), 99)),
    }


def test_small_manifests_are_merged_and_large_ones_stay(house: Lakehouse) -> None:
    (real,) = live(house).values()
    change(house, [described(real, number) for number in range(20)], [])
    large = {manifest.manifest_path for manifest in manifests(house) if manifest.added_files_count == MOST}
    assert len(large) == 2
    most = 0
    for number in range(100, 200):
        change(house, [described(real, number)], [])
        most = max(most, len(manifests(house)))
    assert large <= {manifest.manifest_path for manifest in manifests(house)}
    # As many small ones as are merged at once, beside those that are large already.
    assert most <= snapshots._MERGE_AT + 120 / (MOST / 2)
    assert len(live(house)) == 121


def test_an_erasure_writes_every_manifest_anew(house: Lakehouse) -> None:
    (real,) = live(house).values()
    change(house, [described(real, number) for number in range(25)], [])
    before = {manifest.manifest_path for manifest in manifests(house)}
    change(house, [], [live(house)["file-00003.parquet"]], **{KIND: ERASURE})
    assert before & {manifest.manifest_path for manifest in manifests(house)} == set()
    assert len(live(house)) == 25


def test_of_manifests_only_those_of_late_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a lake that is written to without a pause nearly all that was ever read is of no more use."""
    now = 0.0
    monkeypatch.setattr(kept_module.time, "monotonic", lambda: now)
    kept = kept_module.Kept[list[int]](100, files=manifests_module._FILES, idle_seconds=manifests_module._IDLE_SECONDS)
    for number in range(1000):
        now = number / 10
        kept.put(f"m{number}", [number] * 5)
        assert kept.get("m0") == [0] * 5, "what every run asks for stays"
    # Ten a second, for fifteen seconds, of five each, and the one.
    assert len(kept._found) == 151 and kept._size == 755
    assert kept.get("m849") is None and kept.get("m999") == [999] * 5
    # What is asked for all the time stays, however much it is.
    large = kept_module.Kept[list[int]](100, files=manifests_module._FILES, idle_seconds=manifests_module._IDLE_SECONDS)
    for number in range(500):
        large.put(f"m{number}", [number])
    now += 10
    assert all(large.get(f"m{number}") for number in range(500))
    now += 10
    large.put("new", [1])
    assert large._size == 501
    now += 60
    large.put("newer", [1])
    assert large._size == 100
