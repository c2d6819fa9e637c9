"""Durable files: what is on the disk before the catalog names it, and the two ways to write a file safely."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from carlake.storage import durable as storage
from carlake.storage.durable import DurableFileIO, fsync_dirs, make_folder, settle, write_atomically


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are fsynced, one by one and in order; the real call is made too."""
    paths: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(storage.os, "fsync", noted)
    monkeypatch.setattr(storage, "_syncfs", lambda: None)
    return paths


def test_files_are_on_the_disk_once_the_metadata_that_names_them_is_closed(tmp_path: Path, synced: list[str]) -> None:
    data, metadata = tmp_path / "a" / "data" / "1.parquet", tmp_path / "a" / "metadata" / "1.metadata.json"
    for path in (data, metadata):
        stream = DurableFileIO().new_output(str(path)).create()
        stream.write(b"content")
        assert str(path) not in synced
        stream.close()
        stream.close()
    assert synced[:2] == [str(tmp_path), str(tmp_path / "a")]
    assert sorted(synced[-4:]) == sorted([str(data), str(metadata), str(data.parent), str(metadata.parent)])
    assert {Path(path).suffix for path in synced[-4:-2]} == {".parquet", ".json"}
    assert data.read_bytes() == metadata.read_bytes() == b"content"


def test_a_file_that_was_removed_again_holds_up_nothing(tmp_path: Path, synced: list[str]) -> None:
    for name in ("gone.parquet", "there.parquet"):
        DurableFileIO().new_output(str(tmp_path / name)).create().close()
    (tmp_path / "gone.parquet").unlink()
    settle()
    assert synced == [str(tmp_path / "there.parquet"), str(tmp_path)]
    settle()
    assert len(synced) == 2


def test_files_that_cannot_be_made_durable_stay_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    DurableFileIO().new_output(str(path)).create().close()
    with monkeypatch.context() as broken:
        broken.setattr(storage, "fsync_file", _full)
        with pytest.raises(OSError, match="No space left"):
            settle()
    done: list[str] = []
    monkeypatch.setattr(storage, "fsync_file", lambda path: done.append(str(path)))
    settle()
    assert done == [str(path)]


def _full(_: object) -> None:
    raise OSError(28, "No space left on device")


def test_of_several_that_create_a_file_one_gets_it(tmp_path: Path) -> None:
    files = DurableFileIO()
    path = f"file://{tmp_path}/v1.metadata.json"
    with files.new_output(path).create() as stream:
        with pytest.raises(FileExistsError):
            files.new_output(path).create()
        stream.write(b"first")
    with pytest.raises(FileExistsError):
        files.new_output(path).create(overwrite=False)
    assert files.new_input(path).open().read() == b"first"
    assert len(files.new_input(path)) == 5
    with files.new_output(path).create(overwrite=True) as stream:
        stream.write(b"2nd")
    assert files.new_input(path).open().read() == b"2nd"


def test_every_file_of_a_commit_is_on_the_disk_before_the_catalog_names_it(tmp_path: Path, synced: list[str]) -> None:
    catalog = SqlCatalog(
        "lake",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=str(tmp_path / "warehouse"),
        **{"py-io-impl": "carlake.storage.durable.DurableFileIO"},
    )
    try:
        catalog.create_namespace("n")
        table = catalog.create_table("n.t", schema=pa.schema([("a", pa.int64()), ("b", pa.string())]))
        assert isinstance(table.io, DurableFileIO)
        table.append(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}))
        assert catalog.load_table("n.t").scan().to_arrow().to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", None]}
    finally:
        catalog.close()
    files = {str(path) for path in (tmp_path / "warehouse").rglob("*") if path.is_file()}
    kinds = sorted("".join(Path(path).suffixes[-2:]) for path in files)
    assert kinds == [".avro", ".avro", ".metadata.json", ".metadata.json", ".parquet"]
    assert files <= set(synced)
    for path in files:
        # The folder entry after the file, or the entry could name an empty file.
        assert str(Path(path).parent) in synced[synced.index(path) :]


def test_a_file_of_a_store_is_put_when_it_is_closed_and_there_is_nothing_to_sync(synced: list[str]) -> None:
    files = DurableFileIO({"s3.region": "us-east-1"})
    with files.new_output("memory://durable/key").create() as stream:
        stream.write(b"content")
        assert not files.new_input("memory://durable/key").exists()
    assert files.new_input("memory://durable/key").open().read() == b"content"
    assert len(files.new_input("memory://durable/key")) == 7
    assert synced == []


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path, synced: list[str]) -> None:
    path = tmp_path / "carlake.toml"
    for content in (b"old", b"new content"):
        write_atomically(path, content)
        assert path.read_bytes() == content
        assert [Path(one).name for one in synced[-2:]][1] == tmp_path.name
        assert synced[-2].endswith(".tmp")
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "carlake.toml"
    write_atomically(path, b"old")
    monkeypatch.setattr(storage.os, "fsync", _full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_many_folders_are_flushed_once_for_each_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    real = storage._syncfs()

    def flush(descriptor: int) -> None:
        if real is not None:
            real(descriptor)
        flushed.append(os.fstat(descriptor).st_dev)

    monkeypatch.setattr(storage, "_syncfs", lambda: flush)
    folders = [tmp_path / str(n) for n in range(20)]
    for folder in folders:
        folder.mkdir()
    fsync_dirs([tmp_path])
    assert flushed == []
    fsync_dirs([*folders, Path("/dev/shm")])
    assert sorted(flushed) == sorted({tmp_path.stat().st_dev, Path("/dev/shm").stat().st_dev})


def test_without_a_flush_of_the_file_system_each_folder_is_synced(tmp_path: Path, synced: list[str]) -> None:
    folders = [tmp_path / str(n) for n in range(20)]
    for folder in folders:
        folder.mkdir()
    fsync_dirs([*folders, folders[0]])
    assert sorted(synced) == sorted(str(folder) for folder in folders)


def test_folders_are_made_with_their_parents_each_entry_durable(tmp_path: Path, synced: list[str]) -> None:
    assert make_folder(tmp_path / "a" / "b") == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    assert make_folder(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
