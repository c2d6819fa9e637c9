"""What lies below a prefix of a store, whatever the keys are; paged, and taken up again where a listing breaks off.

A key is any text. The client takes paths: it refuses the whole page of a listing that holds another key (`a//b`, `a/../b`,
a line break), and gives one that ends in a slash without it. Where that happens S3 is asked by a client that takes any
key; of another store the listing goes on behind such a key, and what sorts just before it may be hidden. Such keys are
reported by name. Empty objects whose keys end in a slash are how consoles and other programs mark a folder: no data.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import obstore
import obstore.exceptions as failures

from carlake.errors import CarlakeError, NotFoundError, SettingsError
from carlake.landing import odd_keys, versions
from carlake.landing.landed import PROBE, LandedObject, Unreadable, UnreadableError
from carlake.landing.stores import (
    FAILURES,
    RENAME,
    as_landed,
    at_once,
    fetch,
    head,
    may_pass,
    patiently,
    put,
    split,
    status_of,
    store,
    unreadable,
)
from carlake.storage.listings import pages


def under(uri: str) -> tuple[list[LandedObject], list[Unreadable]]:
    """All objects below a prefix, which ends at a `/` whether or not it is written; and those whose key is no path.

    Raises NotFoundError where there is no such bucket, and UnreadableError.
    """
    base, key = split(uri)
    found: dict[str, LandedObject] = {}
    odd: list[Unreadable] = []
    folders = [key.rstrip("/")]
    try:
        client = store(base)
        while folders:
            _list_folder(client, base, folders.pop(), folders, found, odd)
    except FAILURES as failure:
        # A prefix without objects is an empty list, so what is not found is the bucket.
        if isinstance(failure, FileNotFoundError) or status_of(failure) == "404":
            raise NotFoundError(f"There is no bucket {base}.", "Check its name, region and endpoint.") from failure
        raise unreadable(uri, failure) from failure
    return _without_marks(sorted(found.values(), key=lambda landed: landed.uri)), odd


def _list_folder(
    client: Any,
    base: str,
    folder: str,
    folders: list[str],
    found: dict[str, LandedObject],
    odd: list[Unreadable],
) -> None:
    """List a folder with all below it; where a key in it is no path, see above."""
    behind: str | None = None
    while True:
        try:
            for page in pages(client, folder, may_pass, behind):
                _add(page, base, found)
            return
        except failures.InvalidPathError as failure:
            key = odd_keys.odd_key(failure)
            if key is None:
                raise
            if behind is None and (
                _list_any_key(base, folder, found, odd) or _list_level(client, base, folder, folders, found)
            ):
                return
            advice = f"{RENAME} Objects whose keys sort just before it may be hidden with it until then."
            odd.append(_no_path(base, key, advice))
            before, behind = behind, odd_keys.behind(key)
            if before is not None and behind <= before:
                raise
            if (there := head(f"{base}/{behind}")) is not None:
                found[behind] = there


def _add(metas: Sequence[Any], base: str, found: dict[str, LandedObject]) -> None:
    for meta in metas:
        # `a` sorts before `a/`, which is given as `a`, too.
        found.setdefault(meta["path"], as_landed(base, meta))


def _list_any_key(base: str, folder: str, found: dict[str, LandedObject], odd: list[Unreadable]) -> bool:
    """List a folder of S3 with all below it; false for another store, and where the client that it needs is missing."""
    prefix = f"{base}/{folder}/" if folder else f"{base}/"
    try:
        metas = list(versions.objects_below(prefix))
    except SettingsError:
        return False
    for meta in metas:
        if odd_keys.is_path(meta["path"]):
            found[meta["path"]] = as_landed(base, meta)
        elif meta["size"] or not meta["path"].endswith("/"):
            odd.append(_no_path(base, meta["path"], RENAME))
    return bool(metas)


def _list_level(client: Any, base: str, folder: str, folders: list[str], found: dict[str, LandedObject]) -> bool:
    """List a folder's own objects, and note its folders; false where one of these names is no path."""
    try:
        level = patiently(lambda: obstore.list_with_delimiter(client, folder or None))
    except failures.InvalidPathError:
        return False
    _add(level["objects"], base, found)
    folders += [str(prefix) for prefix in level["common_prefixes"]]
    return True


def _no_path(base: str, key: str, advice: str) -> Unreadable:
    return Unreadable(f"{base}/{key}", f"cannot be read: its key is no path: {key!r}", advice)


def _without_marks(found: list[LandedObject]) -> list[LandedObject]:
    """Without empty objects that only mark a folder: under the key that the client gives there is none."""

    def is_there(landed: LandedObject) -> bool:
        try:
            return head(landed.uri) is not None
        except UnreadableError:
            return True  # whoever reads it will say what is wrong

    empty = [landed for landed in found if landed.size == 0]
    marks = {landed.uri for landed, there in zip(empty, at_once(is_there, empty), strict=True) if not there}
    return [landed for landed in found if landed.uri not in marks] if marks else found


def try_prefix(prefix: str) -> str:
    """Do below a prefix what runs do: put an object, list it, read it, delete it as it was read. Says what fails."""
    uri = f"{prefix.rstrip('/')}/{PROBE}{secrets.token_hex(8)}"
    try:
        put(uri, b"carlake")
        try:
            if not any(landed.uri == uri for landed in under(prefix)[0]):
                return "does not list what was put there"
        finally:
            _, landed, version_id = fetch(uri)
            versions.delete_as_read(landed, version_id)
    except UnreadableError as error:
        return f"{error.unreadable.why}. {error.unreadable.advice}".strip()
    except CarlakeError as error:
        return f"{error.what} {error.advice}".strip()
    return ""
