"""The deep check: every file of every table is still what was written, byte by byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from pyiceberg.manifest import ManifestEntryStatus, ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table as IcebergTable

from carlake.engines.manifest_readers import read_manifest, read_manifest_list
from carlake.errors import CarlakeError
from carlake.storage.durable import places_of
from carlake.storage.places import Places
from carlake.words import count, number

Damage = tuple[str, str]
"""A file, and what is wrong with it."""


def damaged_files(iceberg: IcebergTable) -> Iterator[Damage]:
    """The files of a table that are not what was written, those of older snapshots too; each once.

    Everything is read from the disk, whatever this process remembers. A data file without a checksum, which another
    program wrote, must have the size that the manifest says.
    """
    try:
        FromInputFile.table_metadata(iceberg.io.new_input(iceberg.metadata_location))
    except Exception as error:  # noqa: BLE001  (whatever is wrong with a file, it is the one)
        yield iceberg.metadata_location, _cause(error)
    manifests: dict[str, ManifestFile] = {}
    for snapshot in iceberg.metadata.snapshots:
        location = snapshot.manifest_list
        try:
            # By the file and not by `snapshot.manifests`, which may have been remembered.
            for manifest in read_manifest_list(iceberg.io.new_input(location)):
                manifests[manifest.manifest_path] = manifest
        except Exception as error:  # noqa: BLE001
            yield location, _cause(error)
    files: dict[str, int] = {}
    for path, manifest in manifests.items():
        try:
            for entry in read_manifest(iceberg.io, manifest):
                if entry.status != ManifestEntryStatus.DELETED:
                    files[entry.data_file.file_path] = entry.data_file.file_size_in_bytes
        except Exception as error:  # noqa: BLE001
            yield path, _cause(error)
    places = places_of(iceberg.io)
    for location, size in files.items():
        if (what := _damage(places, location, size)) is not None:
            yield location, what


def _damage(places: Places, location: str, size: int) -> str | None:
    """What is wrong with a data file; None where nothing is."""
    try:
        found = places.stat(location)
        if found is None:
            return "is missing"
        if found.size != size:
            return f"is {count(found.size, 'byte')} long and not {number(size)}"
        return "is not what was written: its checksum differs" if places.is_whole(location, size) is False else None
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def catalog_damage(file: Path) -> str | None:
    """What SQLite finds wrong with its database file; None where nothing is, or there is no such file."""
    if not file.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == ["ok"] else "; ".join(found)


def _cause(error: Exception) -> str:
    if isinstance(error, CarlakeError):
        return "is not what was written: its checksum differs"
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"cannot be read: {' '.join(str(error).split())[:200] or type(error).__name__}"
