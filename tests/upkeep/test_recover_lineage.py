"""Which metadata file counts: commits that were refused, or never swapped, leave files that look like the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.upkeep.damages import Contents, catalog, contents, look, opened, pointer
from tests.upkeep.test_recover import recovered

from carlake.storage.checksums import checksum
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.inspection.lineage import MetadataFile, ahead, choose, descends, read_metadata, readable
from lakes import BRONZE, SILVER, STATE, heads, iceberg, put


def never_swapped(root: Path, name: str, land: Callable[[], None] = lambda: None) -> Path:
    """The metadata file of a commit that was written and never swapped in; `land` lets another commit win meanwhile."""
    with opened(root) as house:
        current = pointer(root, name)
        table = iceberg(house, name)
        data = table.scan().to_arrow().slice(0, 1)
        with table.transaction() as change:
            change.append(data)
            change.set_properties({"who": "never"})
            content = json.loads(change.table_metadata.model_dump_json(exclude_none=True, by_alias=True))
            # The transaction is not to be committed.
            change._updates = ()
        content["metadata-log"] = [
            *content.get("metadata-log", []),
            {"metadata-file": f"file://{current}", "timestamp-ms": content["last-updated-ms"]},
        ]
    land()
    # The later of the two by its clock, so that nothing but what it holds can tell.
    content["last-updated-ms"] += 3_600_000
    text = json.dumps(content).encode()
    number = int(current.name.split("-")[0]) + 1
    path = current.with_name(f"{number:05d}-{checksum(text)}.metadata.json")
    path.write_bytes(text)
    return path


def one_more_run(root: Path) -> None:
    put(root / "landing" / "more.json", '{"no": "contract"}')
    with opened(root) as house:
        assert house.run().status == "succeeded"


@pytest.mark.parametrize("name", [BRONZE, SILVER])
def test_a_refused_commit_is_not_taken_for_the_one_that_landed(lake: Path, name: str) -> None:
    """Bronze's winner is told by the bookmarks that name it."""
    put(lake / "landing" / "first.json", (lake / "archive").glob("*/*/*").__next__().read_bytes() + b"\n")
    never_swapped(lake, name, lambda: one_more_run(lake))
    rows, before = contents(lake), _heads(lake)
    (lake / "catalog.db").unlink()
    recovered(lake)
    after = _heads(lake)
    assert contents(lake) == rows
    assert after[BRONZE] == before[BRONZE]
    assert _property(lake, name) is None


def test_a_refused_commit_whose_files_its_writer_removed_is_never_taken(lake: Path) -> None:
    path = never_swapped(lake, STATE, lambda: one_more_run(lake))
    rows = contents(lake)
    refused = read_metadata(path)
    snapshot = refused.metadata.snapshots[-1]
    table = look(lake).tables[STATE]
    own = {file.file_path for file in table.snapshot_files(snapshot).data}
    held = {f.file_path for s in table.current.metadata.snapshots for f in table.snapshot_files(s).data}  # type: ignore[union-attr]
    for location in own - held:
        table.place.path(location).unlink()
    (lake / "catalog.db").unlink()
    recovered(lake)
    assert contents(lake) == rows
    assert _property(lake, STATE) is None


def test_a_commit_that_never_was_swapped_is_no_proof_of_an_old_catalog(lake: Path, rows: Contents) -> None:
    """Its writer may be about to swap it in."""
    before = _heads(lake)
    never_swapped(lake, SILVER)
    assert [f.check for f in diagnose(look(lake, deep=False)).findings] == []
    recovered(lake)
    assert _heads(lake) == before
    assert contents(lake) == rows


def test_a_catalog_that_lost_one_commit_is_brought_forward_where_a_bookmark_proves_it(
    lake: Path, rows: Contents
) -> None:
    before = _heads(lake)
    for name in (BRONZE, SILVER):
        table = look(lake).tables[name]
        assert table.current is not None
        location = table.current.metadata.metadata_log[-1].metadata_file
        catalog(lake, "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?", location, name)
    old = [f.where for f in diagnose(look(lake, deep=False)).findings if f.check == "catalog-old"]
    assert old == [BRONZE, SILVER]
    recovered(lake)
    assert _heads(lake) == before
    assert contents(lake) == rows


def test_what_a_lost_commit_had_landed_comes_back_without_any_proof(lake: Path) -> None:
    """The catalog is from a backup, runs have gone on since, and the objects were deleted: only data files have them."""
    with opened(lake) as house:
        folder = next((lake / "archive").iterdir()).parent
        before = (lake / "catalog.db").read_bytes()
        put(lake / "landing" / "lost.json", '{"lost": 1}')
        assert house.run().quarantined == 1
    for path in folder.glob("*/*/lost.json"):
        path.unlink()
    (lake / "catalog.db").write_bytes(before)
    put(lake / "landing" / "kept.json", '{"kept": 1}')
    with opened(lake) as house:
        house.run()
    recovered(lake)
    with opened(lake) as house:
        found = house.query(f"SELECT raw FROM {BRONZE} WHERE raw LIKE '%lost%' OR raw LIKE '%kept%' ORDER BY 1")
        assert found["raw"].to_pylist() == ['{"kept": 1}', '{"lost": 1}']


def test_the_line_of_metadata_files(lake: Path) -> None:
    table = look(lake).tables[BRONZE]
    files = readable(table.paths)
    newest, oldest = files[0], files[-1]
    assert newest.path == pointer(lake, BRONZE)
    assert [file.number for file in files] == sorted((file.number for file in files), reverse=True)
    assert descends(newest, oldest.path.name, files) and not descends(oldest, newest.path.name, files)
    assert choose(files, (), lambda file: True) == newest
    assert choose(files, (), lambda file: True, uuid="another") is None

    def line(*found: MetadataFile) -> list[str]:
        return [file.path.name for file in found]

    assert line(*ahead(oldest, files[:-1], ())) == line(*files[:-1])
    assert ahead(files[1], files[:1], ()) == []
    assert newest.head is not None
    assert line(*ahead(files[1], files[:1], {newest.head})) == line(newest)


def _heads(root: Path) -> dict[str, int]:
    with opened(root) as house:
        return {name: head for name, head in heads(house).items() if name in (BRONZE, SILVER)}


def _property(root: Path, name: str) -> str | None:
    table = look(root).tables[name]
    assert table.current is not None
    return table.current.metadata.properties.get("who")
