"""Ways to damage a lake behind carlake's back: each with the check that must name it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate

from carlake.engines.manifests import live_files
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.inspection.lake import Inspection
from lakes import ALERTS, BRONZE, MONTHLY, OPS_RUNS, QUARANTINE, SILVER, STATE, held, iceberg, put, rows_of

Contents = dict[str, Any]
SETTINGS = Settings(threads=1)

# Ahead of the tables that the tests make, however long the tests before these take; and of the same day.
_BEGAN = datetime.now(UTC)
_AHEAD = min(_BEGAN + timedelta(minutes=55), datetime.combine(_BEGAN.date(), time.max, UTC))

DERIVED = (SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)


@dataclass(frozen=True)
class Damage:
    """One way: what it does to the lake in a folder, the check that names it, and what the finding must say."""

    name: str
    do: Callable[[Path], str]
    check: str
    deep: bool = False


def now() -> datetime:
    """The clock of these lakes. Snapshots and commands have the machine's, so it is never behind, and never another day."""
    return max(_AHEAD, datetime.now(UTC))


def table_folder(root: Path, name: str) -> Path:
    return root / "warehouse" / "carlake" / name


def pointer(root: Path, name: str) -> Path:
    """The metadata file that the catalog names."""
    found = Inspection(root).tables[name].pointer
    assert found is not None
    return found


def data_files(root: Path, name: str) -> list[Path]:
    """The data files of a table's newest snapshot, the largest first."""
    table = Inspection(root).tables[name]
    snapshot = table.snapshot(table.current)
    assert snapshot is not None
    paths = [table.place.path(file.file_path) for file in table.snapshot_files(snapshot).data]
    return sorted(paths, key=lambda path: (-path.stat().st_size, path))


def manifests(root: Path, name: str) -> list[Path]:
    """The manifest list of a table's newest snapshot, and its manifests."""
    table = Inspection(root).tables[name]
    snapshot = table.snapshot(table.current)
    assert snapshot is not None
    return sorted(table.snapshot_files(snapshot).paths, key=lambda path: not path.name.startswith("snap-"))


def catalog(root: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(root / "catalog.db")) as database, database:
        assert database.execute(sql, values).rowcount > 0


def cut(path: Path, share: float = 0.5) -> str:
    """Leave a part of a file."""
    os.truncate(path, int(path.stat().st_size * share))
    return str(path)


def flip(path: Path) -> str:
    """Turn a bit in the first part of a file, where Parquet has its pages."""
    content = bytearray(path.read_bytes())
    place = len(content) // 4
    content[place] ^= 0x10
    path.write_bytes(bytes(content))
    return str(path)


def gone(path: Path) -> str:
    path.unlink()
    return str(path)


def _catalog_lost(root: Path) -> str:
    return gone(root / "catalog.db")


def _catalog_overwritten(root: Path) -> str:
    (root / "catalog.db").write_bytes(b"not a database" * 1000)
    return str(root / "catalog.db")


def _catalog_without_tables(root: Path) -> str:
    with closing(sqlite3.connect(root / "catalog.db")) as database, database:
        database.execute("DROP TABLE iceberg_tables")
    return str(root / "catalog.db")


def _catalog_old(root: Path) -> str:
    """Put the catalog back to the first commit of every table."""
    for name in (BRONZE, *DERIVED):
        table = Inspection(root).tables[name]
        files = sorted(table.files, key=lambda file: file.number)
        first = next(file for file in files if file.metadata.snapshots)
        catalog(
            root,
            "UPDATE iceberg_tables SET metadata_location = ? WHERE table_name = ?",
            f"file://{first.path}",
            name,
        )
    return "was current since"


def forgotten_by_the_catalog(name: str) -> Callable[[Path], str]:
    def do(root: Path) -> str:
        catalog(root, "DELETE FROM iceberg_tables WHERE table_name = ?", name)
        return "is not in the catalog"

    return do


def folder_gone(name: str) -> Callable[[Path], str]:
    """The table's files and its entry in the catalog."""

    def do(root: Path) -> str:
        catalog(root, "DELETE FROM iceberg_tables WHERE table_name = ?", name)
        shutil.rmtree(table_folder(root, name))
        return "is gone with all its files"

    return do


def on_metadata(name: str, how: Callable[[Path], str]) -> Callable[[Path], str]:
    return lambda root: how(pointer(root, name))


def all_metadata_gone(name: str) -> Callable[[Path], str]:
    def do(root: Path) -> str:
        last = pointer(root, name)
        for path in table_folder(root, name).glob("metadata/*.json"):
            path.unlink()
        return str(last)

    return do


def on_manifest_list(name: str, how: Callable[[Path], str]) -> Callable[[Path], str]:
    return lambda root: how(manifests(root, name)[0])


def on_manifest(name: str, how: Callable[[Path], str]) -> Callable[[Path], str]:
    return lambda root: how(manifests(root, name)[-1])


def on_data(name: str, how: Callable[[Path], str]) -> Callable[[Path], str]:
    return lambda root: how(data_files(root, name)[0])


def _retyped(root: Path) -> str:
    """Another program gives a gold table a column of another type."""
    with opened(root) as house:
        table = iceberg(house, STATE)
        with table.update_schema(allow_incompatible_changes=True) as update:
            update.delete_column("manufacturer")
    return "column manufacturer is gone"


def _foreign(root: Path) -> str:
    with opened(root) as house:
        table = iceberg(house, STATE)
        table.append(table.scan().to_arrow().slice(0, 1))
    return "carries no bookmark"


def _source_put_back(root: Path) -> str:
    """Silver is put back by two commits; gold has read further."""
    table = Inspection(root).tables[SILVER]
    files = sorted(table.files, key=lambda file: file.number)
    with opened(root) as house:
        head = iceberg(house, SILVER).metadata
        before = head.snapshots[0].snapshot_id
        iceberg(house, SILVER).manage_snapshots().set_current_snapshot(snapshot_id=before).commit()
    assert files
    return "has read up to"


def _archived_object_not_in_bronze(root: Path) -> str:
    content = b'{"event_id": "x"}'
    folder = root / "archive" / "2025-10-30" / sha256(content).hexdigest()
    folder.mkdir(parents=True)
    (folder / "late.json").write_bytes(content)
    return str(folder / "late.json")


def _unreadable_object(root: Path) -> str:
    (root / "landing" / "broken.json").symlink_to(root / "landing" / "nowhere.json")
    return "broken.json"


def _dead_process(root: Path) -> str:
    folder = root / ".carlake" / "scratch" / "duckdb-99999999-abc"
    folder.mkdir(parents=True)
    (folder / "kept.db").write_bytes(b"x")
    return str(folder)


def _toml_lost(root: Path) -> str:
    return gone(root / "carlake.toml")


def _toml_without_lake(root: Path) -> str:
    (root / "carlake.toml").write_text('silver_partition = "month"\n')
    return str(root / "carlake.toml")


DAMAGES = (
    Damage("catalog lost", _catalog_lost, "catalog-lost"),
    Damage("catalog overwritten", _catalog_overwritten, "catalog-damaged"),
    Damage("catalog cut short", lambda root: cut(root / "catalog.db"), "catalog-damaged"),
    Damage("catalog without tables", _catalog_without_tables, "catalog-damaged"),
    Damage("catalog of an old backup", _catalog_old, "catalog-old"),
    Damage("bronze forgotten by the catalog", forgotten_by_the_catalog(BRONZE), "table-missing"),
    Damage("gold forgotten by the catalog", forgotten_by_the_catalog(ALERTS), "table-missing"),
    Damage("silver's folder gone", folder_gone(SILVER), "table-missing"),
    Damage("bronze's folder gone", folder_gone(BRONZE), "table-missing"),
    Damage("silver's metadata cut", on_metadata(SILVER, cut), "metadata-damaged"),
    Damage("bronze's metadata gone", on_metadata(BRONZE, gone), "metadata-damaged"),
    Damage("gold's metadata all gone", all_metadata_gone(STATE), "metadata-damaged"),
    Damage("bronze's metadata all gone", all_metadata_gone(BRONZE), "metadata-damaged"),
    Damage("ops_runs' metadata all gone", all_metadata_gone(OPS_RUNS), "metadata-damaged"),
    Damage("gold's manifest list gone", on_manifest_list(MONTHLY, gone), "manifest-damaged"),
    Damage("silver's manifest cut", on_manifest(SILVER, cut), "manifest-damaged"),
    Damage("bronze's manifest list cut", on_manifest_list(BRONZE, cut), "manifest-damaged"),
    Damage("bronze's manifest gone", on_manifest(BRONZE, gone), "manifest-damaged"),
    Damage("gold's data file gone", on_data(STATE, gone), "data-damaged"),
    Damage("silver's data file cut", on_data(SILVER, cut), "data-damaged"),
    Damage("quarantine's data file gone", on_data(QUARANTINE, gone), "data-damaged"),
    Damage("bronze's data file gone", on_data(BRONZE, gone), "data-damaged"),
    Damage("bronze's data file cut", on_data(BRONZE, cut), "data-damaged"),
    Damage("bronze's data file with a flipped bit", on_data(BRONZE, flip), "data-damaged", deep=True),
    Damage("ops_runs' data file gone", on_data(OPS_RUNS, gone), "data-damaged"),
    Damage("a column gone", _retyped, "table-schema"),
    Damage("a foreign writer", _foreign, "foreign-writer"),
    Damage("a source put back", _source_put_back, "bookmark"),
    Damage("archived object not in bronze", _archived_object_not_in_bronze, "archive-ahead"),
    Damage("an object that cannot be read", _unreadable_object, "landing-unreadable"),
    Damage("a dead process", _dead_process, "crashed-runs"),
    Damage("carlake.toml lost", _toml_lost, "lake-file"),
    Damage("carlake.toml without the lake", _toml_without_lake, "lake-file"),
)


def opened(root: Path) -> Lakehouse:
    """The lake, at the tests' time."""
    return Lakehouse.create(root, SETTINGS, clock=now)


def contents(root: Path) -> Contents:
    """Every row of every table that people read, and bronze's; of an object landed again only the name may differ."""
    with opened(root) as house:
        bronze = [{key: value for key, value in row.items() if key != "source_uri"} for row in rows_of(house, BRONZE)]
        return {**held(house), BRONZE: bronze}


def look(root: Path, *, deep: bool = True) -> Inspection:
    """A look at the lake, at the tests' time."""
    return Inspection(root, SETTINGS, deep=deep, now=now())


def expired_file(root: Path) -> str:
    """A data file that only older snapshots need is gone."""
    table = look(root).tables[STATE]
    assert table.current is not None
    files = [table.snapshot_files(snapshot).data for snapshot in table.current.metadata.snapshots]
    newest = {file.file_path for file in files[-1]}
    return gone(next(table.place.path(file.file_path) for file in files[0] if file.file_path not in newest))


def delete_files(root: Path, name: str = STATE) -> str:
    """Another engine deletes rows by merge-on-read: its snapshot has a manifest of delete files."""
    with opened(root) as house:
        table = iceberg(house, name)
        head = table.current_snapshot()
        assert head is not None
        file = live_files(table, head.snapshot_id)[0]
        location = f"{table.location()}/data/deletes.parquet"
        delete = DataFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=location,
            file_format=FileFormat.PARQUET,
            partition=file.partition,
            record_count=1,
            file_size_in_bytes=1,
        )
        delete.spec_id = file.spec_id
        number = table.metadata.next_sequence_number()
        snapshot_id = table.metadata.new_snapshot_id()
        with write_manifest(
            2,
            table.spec(),
            table.schema(),
            table.io.new_output(f"{table.location()}/metadata/deletes-m0.avro"),
            snapshot_id,
            "gzip",
        ) as writer:
            writer.content = lambda: ManifestContent.DELETES
            writer.add_entry(
                ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=delete)
            )
        path = f"{table.location()}/metadata/snap-{snapshot_id}-deletes.avro"
        with write_manifest_list(
            2, table.io.new_output(path), snapshot_id, head.snapshot_id, number, "gzip"
        ) as listing:
            listing.add_manifests([*head.manifests(table.io), writer.to_manifest_file()])
        snapshot = Snapshot(
            snapshot_id=snapshot_id,
            parent_snapshot_id=head.snapshot_id,
            manifest_list=path,
            sequence_number=number,
            summary=Summary(Operation.OVERWRITE),
            schema_id=table.metadata.current_schema_id,
        )
        house.catalog.commit_table(
            table,
            (),
            (
                AddSnapshotUpdate(snapshot=snapshot),
                SetSnapshotRefUpdate(snapshot_id=snapshot_id, ref_name="main", type=SnapshotRefType.BRANCH),
            ),
        )
    return "1 delete file, written by another engine"


def only_outside(root: Path) -> str:
    """Catalog and metadata are of yesterday, and the object of the run since is gone: its data file is left."""
    before = (root / "catalog.db").read_bytes()
    known = set(root.glob("warehouse/*/*/metadata/*"))
    put(root / "landing" / "lost.json", '{"lost": 1}')
    with opened(root) as house:
        assert house.run().quarantined == 1
    for path in root.glob("archive/*/*/lost.json"):
        path.unlink()
        path.parent.rmdir()
    (root / "catalog.db").write_bytes(before)
    for path in set(root.glob("warehouse/*/*/metadata/*")) - known:
        path.unlink()
    return "1 object that bronze does not"


def tombstones_left(root: Path) -> str:
    """A car was forgotten, and the table that says so has its data file alone."""
    with opened(root) as house:
        house.forget("A-CAR-OF-ANOTHER-LAKE", unknown=True)
    all_metadata_gone("ops_forgotten")(root)
    return "ops_forgotten: 1 tombstone lies in its data files alone"


def moved_here(root: Path) -> str:
    """The lake was made at another place."""
    toml = root / "carlake.toml"
    toml.write_text(toml.read_text().replace(f'location = "{root}"', 'location = "/nowhere/lake"'))
    return "lie at /nowhere/lake"


MORE = (
    Damage("an old snapshot's file gone", expired_file, "history-damaged", deep=True),
    Damage("delete files in gold", delete_files, "delete-files"),
    Damage("delete files in bronze", lambda root: delete_files(root, BRONZE), "delete-files"),
    Damage("the tombstones' metadata all gone", tombstones_left, "tombstones-lost"),
    Damage("records in files outside of the tables", only_outside, "records-outside", deep=True),
)
DAMAGES += MORE
