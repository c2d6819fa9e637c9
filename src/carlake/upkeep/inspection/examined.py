"""One table as its files tell it, read past every cache: what it must hold, and which of it is missing or damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from carlake.engines.manifest_readers import read_manifest, read_manifest_list
from carlake.errors import LakeError
from carlake.storage.store_paths import AnyPath, is_whole, parquet, size_of
from carlake.upkeep.inspection.lineage import MetadataFile, metadata_paths, read_metadata, readable
from carlake.upkeep.inspection.place import Place, PlacedIO
from carlake.words import count, number


@dataclass
class SnapshotFiles:
    """The files of one snapshot.

    data     its live data files
    deletes  delete files, which another engine has written
    broken   manifest lists and manifests that cannot be read, with why: what they name is not in `data`
    paths    every file of the table's metadata that was read for it
    """

    data: list[DataFile] = field(default_factory=list)
    deletes: list[DataFile] = field(default_factory=list)
    broken: list[tuple[AnyPath, str]] = field(default_factory=list)
    paths: set[AnyPath] = field(default_factory=set)


class ExaminedTable:
    """A table as found.

    folder   where its files lie
    pointer  the metadata file that the catalog names; None where the catalog does not know the table
    """

    def __init__(self, name: str, folder: AnyPath, pointer: AnyPath | None, place: Place) -> None:
        self.name = name
        self.folder = folder
        self.pointer = pointer
        self.place = place
        self.io = PlacedIO(place)
        self._snapshots: dict[str, SnapshotFiles] = {}
        self._troubles: dict[tuple[AnyPath, bool], str] = {}
        self._manifests: dict[AnyPath, tuple[list[tuple[ManifestEntryStatus, DataFile]], str]] = {}

    @cached_property
    def paths(self) -> list[AnyPath]:
        """Its metadata files, newest first."""
        return metadata_paths(self.folder)

    @cached_property
    def files(self) -> list[MetadataFile]:
        """Those of its metadata files that can be read, newest first."""
        return readable(self.paths)

    @cached_property
    def _current(self) -> MetadataFile | LakeError:
        assert self.pointer is not None
        try:
            return read_metadata(self.pointer)
        except LakeError as error:
            return error

    @property
    def current(self) -> MetadataFile | None:
        """What the catalog points to, None where that cannot be read."""
        found = self._current if self.pointer else None
        return found if isinstance(found, MetadataFile) else None

    @property
    def trouble(self) -> str:
        """Why what the catalog points to cannot be read."""
        found = self._current if self.pointer else None
        return found.what if isinstance(found, LakeError) else ""

    @property
    def exists(self) -> bool:
        """Whether the catalog knows it, or its folder holds metadata."""
        return self.pointer is not None or bool(self.paths)

    def iceberg(self, file: MetadataFile) -> IcebergTable:
        """The table as one of its metadata files has it, for reading alone."""
        return IcebergTable(("", self.name), file.metadata, str(file.path), self.io, None)

    def snapshot(self, file: MetadataFile | None) -> Snapshot | None:
        """The newest snapshot of a metadata file."""
        return file.metadata.current_snapshot() if file else None

    # -- files -------------------------------------------------------------------------------------------------------

    def snapshot_files(self, snapshot: Snapshot) -> SnapshotFiles:
        """The files of one snapshot, read once; nothing is raised for a damaged one."""
        if snapshot.manifest_list not in self._snapshots:
            self._snapshots[snapshot.manifest_list] = self._read(snapshot)
        return self._snapshots[snapshot.manifest_list]

    def _read(self, snapshot: Snapshot) -> SnapshotFiles:
        found = SnapshotFiles()
        path = self.place.path(snapshot.manifest_list)
        found.paths.add(path)
        try:
            if is_whole(path) is False:
                raise ValueError("its content is not what was written under this name")
            manifests = read_manifest_list(self.io.new_input(snapshot.manifest_list))
        except Exception as error:  # noqa: BLE001  (whatever a damaged file makes the reader say)
            found.broken.append((path, _why(path, error)))
            return found
        for manifest in manifests:
            path = self.place.path(manifest.manifest_path)
            found.paths.add(path)
            entries, trouble = self._entries(path, manifest)
            if trouble:
                found.broken.append((path, trouble))
            for status, file in entries:
                if status != ManifestEntryStatus.DELETED:
                    (found.data if file.content == DataFileContent.DATA else found.deletes).append(file)
        return found

    def _entries(self, path: AnyPath, manifest: ManifestFile) -> tuple[list[tuple[ManifestEntryStatus, DataFile]], str]:
        if path not in self._manifests:
            try:
                length = size_of(path)
                if length != manifest.manifest_length and not self.place.moved:
                    raise ValueError(f"is {count(length, 'byte')} long and not {number(manifest.manifest_length)}")
                if is_whole(path) is False:
                    raise ValueError("its content is not what was written under this name")
                entries = read_manifest(self.io, manifest)
                self._manifests[path] = [(entry.status, entry.data_file) for entry in entries], ""
            except Exception as error:  # noqa: BLE001  (see above)
                self._manifests[path] = [], _why(path, error)
        return self._manifests[path]

    def damaged(self, files: list[DataFile], *, deep: bool) -> list[tuple[AnyPath, str]]:
        """The data files that are missing or cut short, with why; `deep` reads each whole."""
        found = []
        for file in files:
            path = self.place.path(file.file_path)
            if (path, deep) not in self._troubles:
                self._troubles[path, deep] = file_trouble(path, file, deep=deep)
            if trouble := self._troubles[path, deep]:
                found.append((path, trouble))
        return found

    def whole(self, file: MetadataFile) -> bool:
        """Whether all files of its newest snapshot are there, as long as they should be."""
        snapshot = self.snapshot(file)
        if snapshot is None:
            return True
        files = self.snapshot_files(snapshot)
        return not files.broken and not self.damaged(files.data, deep=False)

    def known_files(self, file: MetadataFile) -> set[AnyPath]:
        """Every file that a metadata file and its snapshots name, as far as they can be read."""
        known = {self.place.path(entry.metadata_file) for entry in file.metadata.metadata_log} | {file.path}
        for snapshot in file.metadata.snapshots:
            files = self.snapshot_files(snapshot)
            known |= files.paths
            known |= {self.place.path(data.file_path) for data in (*files.data, *files.deletes)}
        return known

    def broken_snapshots(self, file: MetadataFile) -> Iterator[tuple[Snapshot, str]]:
        """Snapshots other than the newest that have lost files, each with the first of them."""
        for snapshot in file.metadata.snapshots:
            if snapshot.snapshot_id == file.head:
                continue
            files = self.snapshot_files(snapshot)
            trouble = [f"{path} {why}" for path, why in files.broken]
            trouble += [f"{path} {why}" for path, why in self.damaged(files.data, deep=False)]
            if trouble:
                yield snapshot, trouble[0]


def file_trouble(path: AnyPath, file: DataFile | None, *, deep: bool) -> str:
    """What is wrong with a data file: gone, of another length than its manifest says, or (`deep`) not readable."""
    try:
        size = size_of(path)
    except OSError as error:
        return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    if file is not None and size != file.file_size_in_bytes:
        return f"is {count(size, 'byte')} long and not {number(file.file_size_in_bytes)}"
    if not deep:
        return ""
    try:
        if is_whole(path) is False:
            return "is damaged: its content is not what was written under this name"
        rows = 0
        with pq.ParquetFile(parquet(path)) as file_:
            for batch in file_.iter_batches():
                rows += batch.num_rows
    except Exception as error:  # noqa: BLE001  (whatever a damaged file makes the reader say)
        return _why(path, error)
    if file is not None and rows != file.record_count:
        return f"holds {count(rows, 'row')} and not {number(file.record_count)}"
    return ""


def _why(path: AnyPath, error: Exception) -> str:
    if isinstance(error, FileNotFoundError) or not path.exists():
        return "is missing"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return f"is damaged ({' '.join(str(error).split())[:120] or type(error).__name__})"
