"""Old metadata files of a table: each commit leaves one behind, and a direct commit removes none of them.

The newest stay, as the table property `write.metadata.previous-versions-max` has it. A file is old by the version that
its name begins with: a commit that starts from an older version than the current one can only be refused, so a file of
such a version is read by nobody but who looked it up before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyiceberg.table import Table as IcebergTable

from carlake.upkeep.maintenance.files import Stored, TableFiles

_NAME = re.compile(r"(\d+)-[0-9a-fA-F-]{36}\.(?:gz\.)?metadata\.json(?:\.gz)?")


@dataclass(frozen=True)
class OldMetadata:
    """Metadata files that may go."""

    files: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(file.size for file in self.files)


def old_metadata(iceberg: IcebergTable, files: TableFiles, grace_seconds: float) -> OldMetadata:
    """The metadata files that are older than the grace for readers and not in the table's log. Raises OSError."""
    current = _version(iceberg.metadata_location)
    if current is None:
        return OldMetadata(())  # the catalog names them otherwise, and keeps them itself
    kept = {files.path(logged.metadata_file) for logged in iceberg.metadata.metadata_log}
    kept.add(files.path(iceberg.metadata_location))
    old = [
        found
        for found in files.below("metadata")
        if found.path not in kept and (version := _version(found.path)) is not None and version <= current
    ]
    if not old:
        return OldMetadata(())
    now = files.now()
    return OldMetadata(tuple(found for found in old if now - found.modified >= grace_seconds))


def remove_old(files: TableFiles, old: OldMetadata) -> int:
    """Remove them; gives their number. Raises OSError."""
    return files.remove_all([found.path for found in old.files])[0]


def _version(location: str) -> int | None:
    matched = _NAME.fullmatch(location.rpartition("/")[2])
    return int(matched.group(1)) if matched else None
