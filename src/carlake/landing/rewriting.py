"""Objects written anew: as lines of what bronze holds of each record, in the same order, packed as they were.

The lines are JSON whatever the object was: a CSV or Parquet row as bronze has it, a record that is no JSON object wrapped
(`forgotten.wrap`), a forgotten record as `FORGOTTEN`. So landing a rewritten object gives the same rows at the same
places as the ones it was made from. A note in the archive's folder `.rewritten`, named by the source id, has the hash of
what was written: by it the object is known to be whole, and keeps its source id wherever the archive is landed again.

An object with a record of which bronze keeps only the beginning is not written anew: the rest exists in it alone.
"""

from __future__ import annotations

import filecmp
import gzip
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import zstandard

from carlake.landing.archive import Archived
from carlake.landing.compression import GZIP_MAGIC, is_compressed
from carlake.landing.forgotten import FORGOTTEN, FORGOTTEN_HASH, record_of, wrap
from carlake.landing.found import CutError
from carlake.landing.listing import is_store
from carlake.landing.objects import LandedObject, UnreadableError, hash_stream, open_object, path_of, uri_of
from carlake.landing.records import split
from carlake.landing.removal import NotAsReadError, Removal, free_names, publish
from carlake.storage.durable import fsync_dir, make_folder, write_atomically

_HASH = re.compile(r"[0-9a-f]{64}")

Rewrite = Callable[[pa.RecordBatch], pa.RecordBatch]
"""What becomes of records (schema `landing.records.RECORDS`) on their way in: `forgotten.Screen`, for one."""


def rewrite_object(path: Path, rewrite: Rewrite, max_record_bytes: int, to: Path) -> bool:
    """Write the file at `path` anew to `to`, which may be the same, with its modification time. Raises OSError.

    Readers, and a crash at any moment, see the old file or the new, never a part. False where it stays as it is, for
    bytes of it would be lost.
    """
    unfinished = _part(to)
    try:
        with path.open("rb") as stream:
            _write(stream, unfinished, rewrite, max_record_bytes, path.stat().st_mtime_ns)
        _note(unfinished, to.parent)
        unfinished.replace(to)
    except CutError:
        return False
    finally:
        unfinished.unlink(missing_ok=True)
    if to != path:
        path.unlink(missing_ok=True)
        fsync_dir(path.parent)
    fsync_dir(to.parent)
    return True


def archive_rewritten(
    objects: Sequence[tuple[LandedObject, str]],
    archive_root: str,
    day: date,
    rewrite: Rewrite,
    max_record_bytes: int,
    name_of: Callable[[LandedObject], str],
    asks: bool,
) -> list[Archived]:
    """As `archive.archive_many`, but what goes into the archive is each object written anew, under the name `name_of` it.

    The object leaves landing once its place in the archive is on the disk or in the store; it is deleted only while it is
    still what was read. One of which bytes would be lost stays, as failed. `asks`: see `Removal`.
    """
    removal, done = Removal(asks), []
    try:
        for landed, source_id in objects:
            folder = f"{archive_root.rstrip('/')}/{day.isoformat()}/{source_id}"
            done.append(_archive_rewritten(removal, landed, source_id, folder, rewrite, max_record_bytes, name_of))
    finally:
        removal.close()
    return done


def _archive_rewritten(
    removal: Removal,
    landed: LandedObject,
    source_id: str,
    folder: str,
    rewrite: Rewrite,
    max_record_bytes: int,
    name_of: Callable[[LandedObject], str],
) -> Archived:
    path = path_of(landed.uri)
    try:
        if is_store(folder):
            to = _put_rewritten(landed, folder, rewrite, max_record_bytes, name_of(landed))
        else:
            to = _write_rewritten(landed, Path(folder), rewrite, max_record_bytes, name_of(landed))
        if path is not None:
            removal.remove(landed, source_id, path, "")
        else:
            from carlake.landing import versions

            if versions.delete_as_read(landed) == "changed":
                raise NotAsReadError
    except (NotAsReadError, UnreadableError) as error:
        return _not_archived(landed, error)
    except CutError as error:
        advice = f"It stays in landing, for the archive would lack the rest. {error.advice}"
        return Archived("failed", landed.uri, why=f"cannot be archived: {error.what}", advice=advice)
    except FileNotFoundError:
        return Archived("gone", landed.uri)
    except OSError as error:
        return Archived(
            "failed", landed.uri, why=f"cannot be archived: {error.strerror or error}", advice=f"Check {folder}."
        )
    return Archived("moved", landed.uri, to)


def _not_archived(landed: LandedObject, error: NotAsReadError | UnreadableError) -> Archived:
    if isinstance(error, UnreadableError):
        if error.unreadable.uri != landed.uri:
            why = f"cannot be archived: {error.unreadable.uri} {error.unreadable.why}"
            return Archived("failed", landed.uri, why=why, advice=error.unreadable.advice)
        if error.vanished:
            return Archived("gone", landed.uri)
        if path_of(landed.uri) is None and "changed" not in error.unreadable.why:
            why = f"cannot be archived: {error.unreadable.why}"
            return Archived("failed", landed.uri, why=why, advice=error.unreadable.advice)
    why, advice = "is no longer what was read, so it stays in landing", "It is read again at the next run."
    return Archived("changed", landed.uri, why=why, advice=advice)


def _write_rewritten(landed: LandedObject, folder: Path, rewrite: Rewrite, max_record_bytes: int, name: str) -> str:
    """Write an object anew into a local folder; gives its path as a uri. Raises UnreadableError, OSError."""
    make_folder(folder)
    unfinished = _part(folder / "object")
    try:
        with open_object(landed) as stream:
            _write(stream, unfinished, rewrite, max_record_bytes, _modified(landed))
        _note(unfinished, folder)
        to = _published(unfinished, folder, name)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync_dir(folder)
    return uri_of(str(to))


def _put_rewritten(landed: LandedObject, folder: str, rewrite: Rewrite, max_record_bytes: int, name: str) -> str:
    """Write an object anew into a store, by way of a temporary file; gives its uri. Raises UnreadableError, OSError."""
    from carlake.landing.store_archive import place_file

    with tempfile.TemporaryDirectory(prefix="carlake-rewriting-") as scratch:
        unfinished = Path(scratch, "object")
        with open_object(landed) as stream:
            _write(stream, unfinished, rewrite, max_record_bytes, _modified(landed))
        with unfinished.open("rb") as stream:
            content_hash = hash_stream(stream)
        note(folder, content_hash)
        return place_file(unfinished, content_hash, folder, name, landed.modified_at)


def _modified(landed: LandedObject) -> int:
    """Modification time in nanoseconds."""
    path = path_of(landed.uri)
    if path is not None:
        return Path(path).stat().st_mtime_ns
    return int(landed.modified_at.timestamp() * 1_000_000) * 1000


def _published(unfinished: Path, folder: Path, name: str) -> Path:
    """Give the file its name, or another where that is taken by something else. Raises OSError."""
    for free in free_names(name):
        try:
            publish(str(unfinished), str(folder / free))
        except FileExistsError:
            if not filecmp.cmp(unfinished, folder / free, shallow=False):
                continue
        return folder / free
    raise AssertionError  # free_names does not end


def original_id(path: str, content_hash: str) -> str:
    """The source id of an object: the hash of its content, or, of one that was written anew in an archive, the hash of
    what it was written from, after which its folder is named. Raises UnreadableError where a store cannot be asked.
    """
    folder = os.path.dirname(path)  # noqa: PTH120  (asked of every object that is landed)
    source_id = os.path.basename(folder)  # noqa: PTH119
    if len(source_id) != len(content_hash) or _HASH.fullmatch(source_id) is None or source_id == content_hash:
        return content_hash
    try:
        return source_id if content_hash in _noted(folder) else content_hash
    except OSError:
        return content_hash


def _note(unfinished: Path, folder: Path) -> None:
    """Write down what an object in a local archive is about to be."""
    with unfinished.open("rb") as stream:
        note(str(folder), hash_stream(stream))


def note(folder: str, content_hash: str) -> None:
    """Write down what an object in the archive is about to be, so that it is known to be whole and what it was.

    folder  where it lies: it is named by the source id. Raises UnreadableError, OSError.
    """
    if _HASH.fullmatch(folder.rpartition("/")[2]) is None:
        return
    known = _noted(folder)
    if content_hash in known:
        return
    text = "".join(f"{each}\n" for each in (*known, content_hash)).encode()
    if is_store(folder):
        from carlake.landing import stores

        stores.put(_note_place(folder), text)
        return
    path = Path(_note_place(folder))
    make_folder(path.parent)
    write_atomically(path, text)


def _noted(folder: str) -> list[str]:
    try:
        if is_store(folder):
            from carlake.landing import stores

            return stores.fetch(_note_place(folder))[0].decode("ascii").split()
        return Path(_note_place(folder)).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    except UnreadableError as error:
        if error.vanished:
            return []
        raise


def _note_place(folder: str) -> str:
    """Beside the days, in a folder that listings pass over."""
    days, _, source_id = folder.rpartition("/")
    return f"{days.rpartition('/')[0]}/.rewritten/{source_id}"


def _part(to: Path) -> Path:
    return to.with_name(f".{secrets.token_hex(8)}.part")


def _write(stream: BinaryIO, unfinished: Path, rewrite: Rewrite, max_record_bytes: int, modified: int) -> None:
    with unfinished.open("xb") as file:
        head = stream.read(8)
        stream.seek(0)
        with _packed(file, head) as packed:
            for line in lines(stream, rewrite, max_record_bytes):
                packed.write(line)
        file.flush()
        os.utime(file.fileno(), ns=(modified, modified))
        os.fsync(file.fileno())


def lines(stream: BinaryIO, rewrite: Rewrite, max_record_bytes: int) -> Iterator[bytes]:
    """The records of an object, rewritten, each as a line. Raises CutError, ReadError, OSError."""
    for batch in split(stream, max_record_bytes=max_record_bytes, uncut=True):
        batch = rewrite(batch)
        reasons, hashes = batch.column("reason").to_pylist(), batch.column("record_hash").to_pylist()
        for row in range(batch.num_rows):
            record = record_of(batch, row)
            if hashes[row] == FORGOTTEN_HASH or record is None:
                yield FORGOTTEN.encode() + b"\n"
            elif reasons[row] is None and record.startswith(b"{"):
                yield record + b"\n"
            else:
                yield wrap(record) + b"\n"


def _packed(file: BinaryIO, head: bytes) -> AbstractContextManager[Any]:
    """A stream into the file, packed as the object was."""
    if not is_compressed(head):
        return nullcontext(file)
    if head.startswith(GZIP_MAGIC):
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
    return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
