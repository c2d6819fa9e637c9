"""What an archive holds: objects at `<day>/<source id>/<name>`, in a folder or in a store."""

from __future__ import annotations

import itertools
import re
import stat
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from carlake.errors import ReadError
from carlake.landing.landed import LandedObject
from carlake.landing.listing import is_store
from carlake.landing.objects import hash_object, local_object, path_of
from carlake.landing.rewriting import original_id
from carlake.landing.salvaged import is_salvaged
from carlake.storage.durable import write_atomically

_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}/[0-9a-f]{64}")
_SOURCE_ID = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"(\d{4}-\d{2}-\d{2})/([0-9a-f]{64})/([^/]+)")


def archived(root: str) -> Iterator[tuple[str, list[LandedObject]]]:
    """The archive's objects: source id and where it lies (under several names, perhaps); day by day.

    Raises UnreadableError where a store cannot be listed.
    """
    if is_store(root):
        yield from _stored(root)
        return
    archive = Path(root)
    if not archive.is_dir():
        return
    for day in sorted(path for path in archive.iterdir() if path.is_dir()):
        for folder in sorted(path for path in day.iterdir() if path.is_dir()):
            # What else a person has put there is no object.
            if _FOLDER.fullmatch(f"{day.name}/{folder.name}") and (found := _in_folder(folder)):
                yield folder.name, found


def archived_as(root: str, source_id: str, day: date) -> LandedObject | None:
    """Where an object lies; most likely under that day. None where the archive does not have it. Raises UnreadableError."""
    if not is_store(root):
        archive = Path(root)
        folder = archive / day.isoformat() / source_id
        folders = [folder] if folder.is_dir() else sorted(archive.glob(f"*/{source_id}"))
        return next((landed for folder in folders for landed in _in_folder(folder)), None)
    from carlake.landing.store_listing import under

    # Archiving may come after midnight, and late; of a store only the days about that one are asked for.
    for days in (0, 1, -1, 2):
        near = date.fromordinal(day.toordinal() + days)
        found, _ = under(f"{root.rstrip('/')}/{near.isoformat()}/{source_id}")
        if found:
            return found[0]
    return None


def day_of(landed: LandedObject) -> str:
    """The day under which an archived object lies."""
    return landed.uri.rsplit("/", 3)[1]


def is_named_rightly(landed: LandedObject) -> bool:
    """Whether an archived object's content is the one that its folder is named after. Raises UnreadableError for a store."""
    try:
        return original_id(landed.uri, hash_object(landed)) == landed.uri.rsplit("/", 2)[1]
    except (ReadError, OSError):
        if path_of(landed.uri) is None:
            raise
        return False


def is_own(uri: str, content_hash: Callable[[], str]) -> bool:
    """Whether carlake itself has written an object, so that its lines may stand for other records (`forgotten.wrap`): one
    that was written anew in an archive, or one that `recover` has put into landing. Raises UnreadableError.

    content_hash  gives the hash of its content, where that has to be known
    """
    folder = uri.rpartition("/")[0]
    if is_salvaged(uri):
        return True
    if _SOURCE_ID.fullmatch(folder.rpartition("/")[2]) is None:
        return False
    found = content_hash()
    return original_id(uri, found) != found


def renamed_rightly(landed: LandedObject, content_hash: str) -> str:
    """Put an archived object under the name of the content that it has; gives where it lies then.

    Raises UnreadableError, NotAsReadError where it changes meanwhile, OSError.
    """
    before, _, name = landed.uri.rpartition("/")
    folder = f"{before.rpartition('/')[0]}/{content_hash}"
    path = path_of(landed.uri)
    if path is None:
        from carlake.landing import versions
        from carlake.landing.store_archive import place

        placed = place(landed, content_hash, folder, name)
        versions.delete_as_read(landed, placed.version_id)
        return placed.to
    old, new = Path(path), Path(path).parent.with_name(content_hash)
    new.mkdir(exist_ok=True)
    target = old.rename(new / old.name)
    if not any(old.parent.iterdir()):
        old.parent.rmdir()
    return str(target)


def halves(archive: Path) -> Iterator[Path]:
    """Files in a local archive that are being written, or that processes left which died: of objects, and of notes."""
    yield from archive.glob("*/*/.*.part")
    yield from archive.glob(".rewritten/.*.tmp")


def put_into(prefix: str, name: str, content: bytes) -> None:
    """Put an object of our own into a folder or a store's prefix. Raises UnreadableError, OSError."""
    if is_store(prefix):
        from carlake.landing import stores

        stores.put(f"{prefix.rstrip('/')}/{name}", content)
        return
    Path(prefix).mkdir(parents=True, exist_ok=True)
    write_atomically(Path(prefix, name), content)


def _in_folder(folder: Path) -> list[LandedObject]:
    """The objects in a local folder of one source id, without copies that were broken off, and without folders."""
    paths = [path for path in sorted(folder.iterdir()) if not path.name.endswith(".part")]
    found = [(path, path.lstat()) for path in paths]
    return [local_object(str(path), status) for path, status in found if not stat.S_ISDIR(status.st_mode)]


def _stored(root: str) -> Iterator[tuple[str, list[LandedObject]]]:
    from carlake.landing.store_listing import under

    below = root.rstrip("/") + "/"
    places = []
    for landed in under(root)[0]:
        if found := _PLACE.fullmatch(landed.uri.removeprefix(below)):
            places.append((found[1], found[2], landed))
    for (_, source_id), group in itertools.groupby(places, key=lambda place: place[:2]):
        yield source_id, [landed for _, _, landed in group]
