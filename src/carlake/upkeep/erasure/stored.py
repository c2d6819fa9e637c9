"""Objects of stores that hold a forgotten car: in landing, the archive and the tables' files, older versions and deleted
ones too.

The lock on the archive holds on one machine alone. Where other machines work on the lake, stop them for an erasure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from carlake.errors import LakeError
from carlake.landing import stores, versions
from carlake.landing.archived import is_own
from carlake.landing.forgotten import Screen
from carlake.landing.landed import UnreadableError
from carlake.landing.listing import is_store
from carlake.landing.objects import hash_stream
from carlake.landing.rewriting import note, rewrite_object
from carlake.landing.store_listing import under
from carlake.landing.versions import Version
from carlake.upkeep.erasure.archiving import archive_lock
from carlake.upkeep.erasure.rows import Erasing
from carlake.upkeep.erasure.search import Needle, Place, Searched, search_file

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

_AT_ONCE = 16


def prefixes(house: Lakehouse) -> list[str]:
    """Landing, archive and warehouse, where they lie in stores. Raises LakeError for a store whose versions cannot be
    looked at, and for a lake whose key of tombstones would lie on this machine alone.
    """
    found = [prefix for prefix in (house.landing, house.archive, house.settings.warehouse) if is_store(prefix)]
    if house.lake.uri and house.settings.tombstone_key_file is None:
        raise LakeError(
            f"No car can be forgotten in the lake at {house.lake.uri} yet: the key of its tombstones would lie on this "
            "machine alone.",
            "Set tombstone_key_file, on every machine that works on the lake, to a file with the same key.",
        )
    for prefix in found:
        if not (versions.is_s3(prefix) or prefix.startswith("memory://")):
            raise LakeError(
                f"No car can be forgotten in {prefix}: carlake cannot look at older versions of objects in that store.",
                "Bring landing, archive and tables to a store of S3's protocol or to the lake's own folders, then forget.",
            )
    return found


def search_stored(house: Lakehouse, needle: Needle, searched: Searched) -> list[Place]:
    """Every place in landing's and the archive's stores that holds the name. Raises UnreadableError, LakeError."""
    found: list[Place] = []
    for version, file in _read(_versions(prefixes(house))):
        found += _places(version, file, needle, searched)
    return found


def clean_stored(house: Lakehouse, erasing: Erasing, screen: Screen) -> list[str]:
    """Write objects that hold the car anew, without it, and delete every older version that holds it. Gives their uris.

    What a run takes out of landing it lands without the car; only what stays there is written anew in its place.
    Raises UnreadableError, LakeError, OSError.
    """
    stays = house.settings.after_landing == "leave"
    done: list[str] = []

    with archive_lock(house.lake, alone=True):
        for version, file in _read(_versions(prefixes(house))):
            if not any(_places(version, file, erasing.needle, Searched())):
                continue
            if not version.latest or version.marker:
                versions.delete_version(version.uri, version.version_id)
            elif _below(version.uri, house.settings.warehouse):
                continue  # a table's file that is still in use: of these the car's rows are taken out by commits
            elif stays or not version.uri.startswith(house.landing.rstrip("/") + "/"):
                assert file is not None
                if to := _written_anew(version, file, erasing, screen):
                    done.append(to)
    return done


def _below(uri: str, prefix: str) -> bool:
    return bool(prefix) and uri.startswith(f"{prefix.rstrip('/')}/")


def _written_anew(version: Version, file: Path, erasing: Erasing, screen: Screen) -> str:
    """Gives where it lies then; "" where it stays as it is, for bytes of it would be lost."""
    rewrite = screen.rewriting(cache(partial(is_own, version.uri, partial(_content_hash, file))))

    def cleaned(batch: pa.RecordBatch) -> pa.RecordBatch:
        return erasing.cleaned(rewrite(batch))

    folder, _, name = version.uri.rpartition("/")
    new_name = erasing.needle.replaced(name, erasing.instead) if erasing.needle.in_text(name) else name
    modified = stores.metadata(version.uri).get(stores.MODIFIED, "")
    if not rewrite_object(file, cleaned, erasing.context.engine.max_record_bytes, file):
        return ""
    note(folder, _content_hash(file))
    to = f"{folder}/{new_name}"
    with file.open("rb") as stream:
        stores.put(to, stream, modified)
    for each in _versions([version.uri]):
        # What was put is the newest of its name, and stays; of a name that the car is in nothing does.
        same = each.version_id == version.version_id and not each.latest
        if each.uri == version.uri and (to != version.uri or same):
            if each.version_id:
                versions.delete_version(each.uri, each.version_id)
            else:
                stores.delete(each.uri)
    return to


def _content_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hash_stream(stream)


def _versions(found: Iterable[str]) -> Iterator[Version]:
    """Every version of every object below the prefixes, the newest of each first; each once."""
    met: set[tuple[str, str]] = set()
    for prefix in found:
        if versions.is_s3(prefix):
            below: Iterable[Version] = versions.versions_below(prefix)
        else:
            below = (Version(each.uri, "", each.version, each.size, True) for each in under(prefix)[0])
        for version in below:
            inside = version.uri == prefix or version.uri.startswith(prefix.rstrip("/") + "/")
            if inside and (version.uri, version.version_id) not in met:
                met.add((version.uri, version.version_id))
                yield version


def _read(found: Iterator[Version]) -> Iterator[tuple[Version, Path | None]]:
    """The versions, each with a temporary file of its content; None for a marker, and for one that went meanwhile."""
    while group := list(islice(found, _AT_ONCE)):
        with tempfile.TemporaryDirectory(prefix="carlake-searching-") as folder:

            def fetched(at: int, group: list[Version] = group, folder: str = folder) -> Path | None:
                path = Path(folder, str(at))
                try:
                    if group[at].marker:
                        return None
                    stores.download(group[at].uri, path, "" if group[at].latest else group[at].version_id)
                    return path
                except UnreadableError as error:
                    if error.vanished:
                        return None
                    raise

            yield from zip(group, stores.at_once(fetched, range(len(group))), strict=True)


def _places(version: Version, file: Path | None, needle: Needle, searched: Searched) -> list[Place]:
    uri = version.uri if version.latest else f"{version.uri} (version {version.version_id})"
    found = [Place(uri, "name")] if needle.in_text(version.uri) else []
    if file is not None:
        before = searched.unread
        found += [replace(place, path=uri) for place in search_file(file, needle, searched)]
        if len(searched.unread) > len(before):
            searched.unread = (*before, uri)
    return found
