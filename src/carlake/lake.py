"""What a lake is: one folder, `landing/ archive/ warehouse/ catalog.db carlake.toml`, here or in an object store.

Iceberg records absolute paths, so a lake works only where it was made. `carlake.toml` records that place, and a lake
that lies elsewhere is recognised before anything of it is touched. `.carlake/` holds locks, logs, temporary files and what
a recovery that was broken off has found; losing it loses no row. For a lake in a store (`carlake.lake_in_store`) it
lies in a folder of this machine.
"""

from __future__ import annotations

import difflib
import fcntl
import os
import re
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carlake.errors import LakeError
from carlake.lake_record import (
    CATALOG,
    FOLDERS,
    OWN,
    OWN_NOTE,
    TOML,
    damaged,
    identity,
    own_text,
    parse_own,
    quoted,
    recover_command,
    settings_text,
)
from carlake.lake_record import FORMAT as FORMAT
from carlake.lake_record import Lake as Lake
from carlake.storage.places import is_remote

if TYPE_CHECKING:
    from carlake.settings import Settings

_NOBODYS = ("lost+found", ".DS_Store")  # what a new volume or a file browser leaves in an empty folder


def create(path: str | os.PathLike[str], settings: Settings | None = None, file: Path | None = None) -> Lake:
    """Make the lake at `path`, or complete one that was half made, and open it; an existing lake is just opened.

    settings, file  the settings, or the file beside the environment that has them: they say how a store is reached

    Safe when several processes do it at once: one lake comes of it. The folder must be new, empty, or hold nothing but
    the lake's own empty folders (`landing` may hold objects).
    Raises `LakeError` as `open` does, and where the folder holds something else or cannot be written.
    """
    if is_remote(os.fspath(path)):
        from carlake.lake_in_store import create_in_store

        return create_in_store(os.fspath(path), settings, file)
    root = _root(path)
    if os.path.lexists(root / TOML):
        return open(root)
    try:
        _refuse_foreign(root)
        (root / OWN).mkdir(parents=True, exist_ok=True)
        with exclusive(root / OWN / "lock"):
            if not (root / TOML).exists():
                _refuse_foreign(root)
                for folder in (*FOLDERS, f"{OWN}/scratch"):
                    (root / folder).mkdir(exist_ok=True)
                _write_toml(root, settings_text(), uuid.uuid4().hex)
    except OSError as error:
        raise LakeError(
            f"No lake can be made at {root}: {error.strerror or error}.", "Give a folder that you may write."
        ) from None
    return open(root)


def open(  # noqa: A001 - read as `lake.open`
    path: str | os.PathLike[str], settings: Settings | None = None, file: Path | None = None
) -> Lake:
    """The lake at `path`. Nothing is written before it is known to lie where it was made. `settings`, `file`: as `create`.

    Raises `LakeError` where there is no lake, it is of a newer format, or it was moved or copied.
    """
    if is_remote(os.fspath(path)):
        from carlake.lake_in_store import open_in_store

        return open_in_store(os.fspath(path), settings, file)
    root = _root(path)
    if not os.path.isfile(root / TOML):  # noqa: PTH113 - false, and no error, where the folder may not be read
        raise _no_lake(root)
    version, lake_id, location = identity(_read_own(root), str(root))
    recorded = Path(location)
    # The same folder under another name (a link, a bind mount) is fine: the recorded paths lead to it.
    if not recorded.is_dir() or not recorded.samefile(root):
        raise _elsewhere(root, recorded, lake_id)
    lake = Lake(root=recorded, id=lake_id, format_version=version)
    for folder in (lake.landing, lake.archive, lake.warehouse, lake.scratch):
        with suppress(PermissionError):  # a lake that may only be read is still a lake
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
    return lake


def is_there(path: str | os.PathLike[str], settings: Settings | None = None, file: Path | None = None) -> bool:
    """Whether there is a lake, or something that says it is one. Raises LakeError where a store cannot be asked."""
    if is_remote(os.fspath(path)):
        from carlake.lake_in_store import is_in_store

        return is_in_store(os.fspath(path), settings, file)
    return os.path.lexists(Path(os.fspath(path).removeprefix("file://")).expanduser() / TOML)


def refuse(path: str | os.PathLike[str]) -> None:
    """Nothing, where `create` might make a lake of this machine. Raises LakeError where it would not: see there."""
    if not is_remote(os.fspath(path)):
        _refuse_foreign(_root(path))


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the file `lock` alone, among processes and threads; it is made if missing. A crash lets go of it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _root(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path).removeprefix("file://")
    if "://" in text:
        raise LakeError(
            f"{text} is neither a folder of this machine nor a place in an object store.",
            "Give the path of a folder, or a URI such as s3://BUCKET/PREFIX.",
        )
    root = Path(os.path.realpath(Path(text).expanduser()))
    try:
        str(root).encode("utf-8")
    except UnicodeEncodeError:
        raise LakeError(
            f"The path {str(root)!r} is not UTF-8, so no table could record it.", "Give a folder with another name."
        ) from None
    if root.exists() and not root.is_dir():
        raise LakeError(f"{root} is a file; a lake is a folder.", f"Use the folder: --lake {quoted(root.parent)}")
    return root


def _refuse_foreign(root: Path) -> None:
    if _lake_around(root) or (root.exists() and not _may_become_lake(root)):
        raise _no_lake(root)


def _may_become_lake(root: Path) -> bool:
    """Whether the folder is empty or the beginning of a lake, without any table in it."""
    allowed = (*FOLDERS, OWN, *_NOBODYS)
    if any(entry.name not in allowed for entry in root.iterdir() if entry.name != TOML):
        return False
    return not any(any((root / name).iterdir()) for name in ("archive", "warehouse") if (root / name).is_dir())


def identify(root: Path, lake_id: str, namespace: str = "") -> None:
    """Write into carlake.toml that the lake of this id lies at `root`. Settings that are there stay as they are; a file
    that is lost is made anew, with its `namespace` where that is not the usual one. Raises OSError.
    """
    try:
        text = (root / TOML).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        text = settings_text()
        if namespace and namespace != "carlake":
            text = f'namespace = "{namespace}"\n' + text
    # The table ends where the next begins; of its own keys none is a table.
    text = re.sub(r"^\[lake\][^\n]*\n(?:(?!\[)[^\n]*(?:\n|\Z))*", "", text, flags=re.MULTILINE)
    text = text.replace(OWN_NOTE, "")
    _write_toml(root, text.rstrip("\n") + "\n\n", lake_id)


def _write_toml(root: Path, settings: str, lake_id: str) -> None:
    text = own_text(str(root), lake_id, settings)
    (root / OWN).mkdir(exist_ok=True)
    unfinished = root / OWN / f"{TOML}.{os.getpid()}"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(root / TOML)
    folder = os.open(root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_own(root: Path) -> dict[str, Any]:
    try:
        content = (root / TOML).read_bytes()
    except OSError as error:
        raise LakeError(f"{root / TOML} cannot be read: {error.strerror or error}.") from None
    return parse_own(content, str(root))


def _elsewhere(root: Path, recorded: Path, lake_id: str) -> LakeError:
    if _id_at(recorded) == lake_id:
        what, advice = f"{root} is a copy of the lake at {recorded}", f"Use that one: --lake {quoted(recorded)}"
    else:
        what, advice = f"The lake at {root} was made at {recorded}", f"Move it back to {recorded}"
    return LakeError(
        f"{what}, and its tables record absolute paths there. Nothing was changed.",
        f"{advice}\nOr make it whole where it lies: {recover_command(root)}",
    )


def _id_at(root: Path) -> Any:
    try:
        return tomllib.loads((root / TOML).read_text(encoding="utf-8"))["lake"]["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lake_around(root: Path) -> Path | None:
    return next((around for around in root.parents if _id_at(around) is not None), None)


def _no_lake(root: Path) -> LakeError:
    """Why `root` is no lake, with the nearest help: the lake around it, in it, or of a like name beside it."""
    if around := _lake_around(root):
        return LakeError(f"{root} lies inside the lake at {around}.", f"Use that one: --lake {quoted(around)}")
    make = f"carlake init --lake {quoted(root)}"
    if not root.exists():
        advice = f"Make one: {make}"
        with suppress(OSError):
            beside = [found.parent.name for found in root.parent.glob(f"*/{TOML}")]
            if near := difflib.get_close_matches(root.name, beside, n=1, cutoff=0.6):
                advice = f"Did you mean {quoted(root.parent / near[0])}? Or make one: {make}"
        return LakeError(f"There is no lake at {root}.", advice)
    try:
        if _may_become_lake(root):
            return LakeError(f"There is no lake at {root} yet.", f"Make one: {make}")
        inside = sorted(found.parent for found in root.glob(f"*/{TOML}"))
        has_tables = (root / CATALOG).exists() and (root / "warehouse").is_dir()
    except OSError as error:
        return LakeError(f"{root} cannot be read: {error.strerror or error}.")
    if has_tables:
        return damaged(str(root), "is missing")
    if inside:
        return LakeError(f"{root} is not a lake.", f"There is one in it: --lake {quoted(inside[0])}")
    return LakeError(
        f"{root} is not a lake: it holds other files and no {TOML}.", "Give a new or empty folder, or a lake."
    )
