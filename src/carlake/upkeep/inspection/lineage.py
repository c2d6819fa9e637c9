"""A table's metadata files: each commit writes one, and the catalog says which counts. Here they tell it themselves.

A metadata file may be there without ever having been current: PyIceberg writes it first and swaps then, so a commit that
was refused, or whose process died, leaves one. What tells them apart: each file names the one that it was made from, and
nobody builds on a file that never was current. So the line that goes on is the true one; of several ends of equal length,
the one that other tables' bookmarks name is; where nothing tells, any will do, for every table then brings itself up to
date by the bookmark rules, and bronze takes in again what only the other end's files hold.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil

from carlake.errors import DamagedError, LakeError
from carlake.storage.checksums import check_content
from carlake.storage.store_paths import AnyPath, named_below
from carlake.upkeep.inspection.place import local

_NUMBER = re.compile(r"v?(\d+)[-.].*metadata\.json$")


@dataclass(frozen=True)
class MetadataFile:
    """One metadata file of a table, read."""

    path: AnyPath
    metadata: TableMetadata

    @property
    def number(self) -> int:
        """How many files of its line came before it."""
        return number_of(self.path)

    @cached_property
    def earlier(self) -> tuple[str, ...]:
        """The names of the files that it was made from, oldest first, as far as it remembers them."""
        return tuple(Path(local(entry.metadata_file)).name for entry in self.metadata.metadata_log)

    @property
    def parent(self) -> str | None:
        """The name of the file that it was made from."""
        return self.earlier[-1] if self.earlier else None

    @property
    def head(self) -> int | None:
        """The snapshot that main points to."""
        head: int | None = self.metadata.current_snapshot_id
        return head


def number_of(path: AnyPath) -> int:
    """The number that a metadata file's name begins with."""
    found = _NUMBER.match(path.name)
    return int(found[1]) if found else -1


def metadata_paths(folder: AnyPath) -> list[AnyPath]:
    """The metadata files in a table's folder, newest first."""
    paths = named_below(folder / "metadata", "*.metadata.json")
    return sorted(paths, key=lambda path: (number_of(path), path.name), reverse=True)


def read_metadata(path: AnyPath) -> MetadataFile:
    """Read one. Raises LakeError that says what is wrong with it."""
    try:
        content = path.read_bytes()
        check_content(str(path), content)
        if path.name.endswith(".gz.metadata.json"):
            content = gzip.decompress(content)
        newer = json.loads(content).get("format-version")
        if isinstance(newer, int) and newer > 3:
            raise LakeError(f"{path} has table format {newer}, newer than this carlake reads.")
        return MetadataFile(path, TableMetadataUtil.parse_raw(content.decode()))
    except FileNotFoundError:
        raise LakeError(f"{path} is missing.") from None
    except DamagedError as error:
        raise LakeError(error.what) from None
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # noqa: BLE001  (whatever a damaged file makes a parser say)
        why = " ".join(str(error).split())[:120]
        raise LakeError(f"{path} is damaged ({type(error).__name__}: {why}).") from None


def readable(paths: Iterable[AnyPath]) -> list[MetadataFile]:
    """Those of the files that can be read."""
    found = []
    for path in paths:
        try:
            found.append(read_metadata(path))
        except LakeError:
            continue
    return found


def parents(files: Sequence[MetadataFile]) -> set[str]:
    """The names of the files that others were made from: these were current once, for certain."""
    return {name for file in files for name in file.earlier}


def descends(file: MetadataFile, name: str, files: Sequence[MetadataFile]) -> bool:
    """Whether `file` was made, over however many steps, from the file called `name`."""
    known = {other.path.name: other for other in files}
    at: MetadataFile | None = file
    seen: set[str] = set()
    while at is not None and at.path.name not in seen:
        if name in at.earlier:
            return True
        seen.add(at.path.name)
        # A log that was trimmed goes on in the oldest file that it still names.
        at = next((known[earlier] for earlier in at.earlier if earlier in known), None)
    return False


def choose(
    files: Sequence[MetadataFile], named: Collection[int], whole: Callable[[MetadataFile], bool], uuid: str = ""
) -> MetadataFile | None:
    """The file that the catalog must point to, of all that can be read; None where there is none.

    named  snapshots that bookmarks of other tables name: what they name was current
    whole  whether all files of its newest snapshot are there
    uuid   the table's, where it is known: a table that was dropped may have lain in the same folder
    """
    wanted = [file for file in files if not uuid or str(file.metadata.table_uuid) == uuid]
    if not wanted:
        return None
    newest = max(wanted, key=lambda file: file.metadata.last_updated_ms)
    line = [file for file in wanted if file.metadata.table_uuid == newest.metadata.table_uuid]
    last = max(file.number for file in line)
    ends = [file for file in line if file.number == last]
    return max(
        ends,
        key=lambda file: (
            whole(file) if len(ends) > 1 else True,
            file.head in named,
            file.metadata.last_updated_ms,
            file.path.name,
        ),
    )


def ahead(current: MetadataFile, files: Sequence[MetadataFile], named: Collection[int]) -> list[MetadataFile]:
    """The files that descend from the catalog's current one and were current later: proof of a catalog from a backup.

    A single file ahead that nothing names is no proof: a process may have died between writing it and the swap.
    """
    later = [file for file in files if descends(file, current.path.name, files)]
    was_parent = parents(later)
    own = {snapshot.snapshot_id for snapshot in current.metadata.snapshots}
    proven = [file for file in later if file.path.name in was_parent or (file.head in named and file.head not in own)]
    if not proven:
        return []
    return [file for file in later if file.number >= min(one.number for one in proven)]
