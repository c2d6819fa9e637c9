"""Deleting exactly what was read: by object version in S3, else by a condition on its ETag.

In a bucket with versions the delete names the version, so nothing that was put under the same name meanwhile can be hit;
and a version that was overwritten before anybody read it comes to light again, and is listed. In one without, the delete
says which ETag it means (S3 and Azure have that). A store that does not look at the condition is found out once, by an
object made for it.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from carlake.landing import stores
from carlake.landing.landed import PROBE, LandedObject, Unreadable, UnreadableError
from carlake.storage.clients import in_parts, options_for, s3_api

Deleted = Literal["deleted", "gone", "changed"]

_S3 = ("s3", "s3a")
_AZURE = ("az", "azure", "adl", "abfs", "abfss")
_RETRY = "It is tried again at the next run."
_UNVERSIONED = ("", "null")

PART_BYTES = 256 << 20
"""A larger object is copied in parts of this size."""


@dataclass(frozen=True)
class Version:
    """One version of an object in S3. `marker`: it says that the object was deleted."""

    uri: str
    version_id: str
    e_tag: str
    size: int
    latest: bool
    marker: bool = False


def is_s3(uri: str) -> bool:
    """Whether a uri is one of S3, or of a store that speaks as S3 does."""
    return uri.partition("://")[0] in _S3


def versions_below(prefix: str) -> Iterator[Version]:
    """Every version of every object whose key begins so, deleted ones too; the newest of each object first.

    Of a store that is not S3 nothing. Raises UnreadableError, SettingsError.
    """
    if not is_s3(prefix):
        return
    base, key = stores.split(prefix)
    with asked(prefix):
        pages = _api(base).get_paginator("list_object_versions").paginate(Bucket=_bucket(base), Prefix=key)
        for page in pages:
            found = [(one, False) for one in page.get("Versions", ())] + [
                (one, True) for one in page.get("DeleteMarkers", ())
            ]
            for one, marker in sorted(found, key=lambda pair: pair[0]["Key"]):
                e_tag = one.get("ETag", "").strip('"')
                yield Version(
                    f"{base}/{one['Key']}", one["VersionId"], e_tag, one.get("Size", 0), one["IsLatest"], marker
                )


def objects_below(prefix: str) -> Iterator[dict[str, Any]]:
    """What obstore's listing says of objects of S3 whose keys begin so, for any key. Of a store that is not S3 nothing.

    Raises UnreadableError, SettingsError.
    """
    if not is_s3(prefix):
        return
    base, key = stores.split(prefix)
    with asked(prefix):
        for page in _api(base).get_paginator("list_objects_v2").paginate(Bucket=_bucket(base), Prefix=key):
            for one in page.get("Contents", ()):
                yield {
                    "path": one["Key"],
                    "size": one["Size"],
                    "last_modified": one["LastModified"],
                    "e_tag": one.get("ETag"),
                }


def version_of(landed: LandedObject) -> str | None:
    """The id of the version that was read, where the store keeps one; None where it has none such."""
    if not is_s3(landed.uri):
        return None
    for version in versions_below(landed.uri):
        if version.uri == landed.uri and version.e_tag == landed.version and not version.marker:
            return None if version.version_id in _UNVERSIONED else version.version_id
    return None


def current(uri: str) -> tuple[LandedObject, str] | None:
    """The object at a uri and the id of its version ("" where the bucket has none); None where there is none.

    Raises UnreadableError.
    """
    import obstore

    base, key = stores.split(uri)
    try:
        meta = stores.patiently(lambda: obstore.head(stores.store(base), key))
    except FileNotFoundError:
        return None
    except stores.FAILURES as failure:
        raise stores.unreadable(uri, failure) from failure
    return stores.as_landed(base, meta), stores.version_in(meta)


def find(uri: str, version_id: str = "") -> LandedObject | None:
    """The object at a uri, in the version of that id ("": the newest), which may have been overwritten or deleted since.

    Each version is an object that arrived, so it counts for as long as the store has it. The newest is read by its name
    alone, which needs no further right. Raises UnreadableError.
    """
    there = current(uri)
    if not version_id or (there is not None and there[1] == version_id):
        return there[0] if there is not None else None
    return stores.head(uri, version_id)


def delete_as_read(landed: LandedObject, version_id: str | None = None) -> Deleted:
    """Delete an object as it was read, and nothing else that bears or bore its name.

    version_id  of what was read, where it is known; "" where the bucket keeps none
    `changed`: what was read is not there any more, something else is. Raises UnreadableError, SettingsError.
    """
    version_id = landed.version_id or version_id
    if version_id is None:
        now = current(landed.uri)
        if now is None:
            return "gone"
        there, version_id = now
        if there.version != landed.version:
            version_id = version_of(landed)
            if version_id is None:
                return "changed"
    if is_s3(landed.uri) and version_id:
        delete_version(landed.uri, version_id)
        return "deleted"
    return _delete_if_unchanged(landed)


def delete_version(uri: str, version_id: str) -> None:
    """Delete one version for good; one that is gone is fine. Raises UnreadableError."""
    base, key = stores.split(uri)
    from botocore.exceptions import ClientError

    with asked(uri):
        try:
            _api(base).delete_object(Bucket=_bucket(base), Key=key, VersionId=version_id)
        except ClientError as error:
            # After an answer that was lost, some stores refuse a version that is gone.
            if _code(error) not in ("NoSuchVersion", "NoSuchKey", "InvalidArgument", "404") or _is_there(
                base, key, version_id
            ):
                raise


def _is_there(base: str, key: str, version_id: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        _api(base).head_object(Bucket=_bucket(base), Key=key, VersionId=version_id)
    except ClientError as error:
        return _code(error) not in ("NoSuchVersion", "NoSuchKey", "NotFound", "InvalidArgument", "400", "404")
    return True


def _delete_if_unchanged(landed: LandedObject) -> Deleted:
    base, key = stores.split(landed.uri)
    scheme = base.partition("://")[0]
    if scheme == "memory" or dict(options_for(base)).get("unconditional_delete", "").lower() == "true":
        there = stores.head(landed.uri)
        if there is None or there.version != landed.version:
            return "gone" if there is None else "changed"
        stores.delete(landed.uri)
        return "deleted"
    if not (scheme in _S3 or scheme in _AZURE) or not heeds_conditions(base, key.rpartition("/")[0]):
        why = "cannot be taken out of landing: this store deletes whatever bears the name, also what is put meanwhile"
        advice = (
            "Turn object versions on for the bucket, or set after_landing = 'leave'; or, where no name is ever used twice, "
            "unconditional_delete = 'true' in store_properties."
        )
        raise UnreadableError(Unreadable(landed.uri, why, advice))
    return _delete_if(base, key, landed.version)


def _delete_if(base: str, key: str, e_tag: str) -> Deleted:
    uri = f"{base}/{key}"
    if not is_s3(base):
        return _delete_azure(base, key, e_tag)
    from botocore.exceptions import ClientError

    with asked(uri):
        try:
            _api(base).delete_object(Bucket=_bucket(base), Key=key, IfMatch=f'"{e_tag}"')
        except ClientError as error:
            if _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                # So it is also where the answer to a delete was lost, and something else was put since.
                return "changed" if stores.head(uri) is not None else "gone"
            if _code(error) in ("NoSuchKey", "404"):
                return "gone"
            raise
    return "deleted"


def _delete_azure(base: str, key: str, e_tag: str) -> Deleted:
    """By an address that is signed for a moment: obstore has no conditional delete."""
    import obstore

    uri = f"{base}/{key}"

    def once() -> Deleted:
        address = obstore.sign(stores.store(base), "DELETE", key, timedelta(minutes=5))
        try:
            with urlopen(Request(address, method="DELETE", headers={"If-Match": f'"{e_tag}"'}), timeout=60):  # noqa: S310
                return "deleted"
        except HTTPError as answer:
            if answer.code in (409, 412):
                return "changed"
            if answer.code == 404:
                return "gone"
            raise OSError(f"the store answered {answer.code}") from None

    try:
        return stores.patiently(once)
    except stores.FAILURES as failure:
        raise stores.unreadable(uri, failure) from failure


@functools.lru_cache(maxsize=64)
def heeds_conditions(base: str, folder: str) -> bool:
    """Whether a store looks at the condition of a delete: tried once with an object of our own beside the others.

    Raises UnreadableError.
    """
    key = f"{folder}/{PROBE}{secrets.token_hex(8)}".lstrip("/")
    uri = f"{base}/{key}"
    stores.put(uri, b"carlake")
    try:
        _delete_if(base, key, "0" * 32)
        return stores.head(uri) is not None
    finally:
        stores.delete(uri)


def copy(landed: LandedObject, version_id: str, to: str, metadata: dict[str, str]) -> None:
    """Copy within S3, by the store itself; in parts where it is large. `version_id`: "" for what is there now.

    Raises UnreadableError, also where it is not what was listed.
    """
    (base, key), (target_base, target) = stores.split(landed.uri), stores.split(to)
    source = {"Bucket": _bucket(base), "Key": key}
    # Tags stay behind, as with what is put: they would ask for rights of their own on both sides.
    more: dict[str, Any] = {"Metadata": metadata, "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE"}
    if version_id:
        source["VersionId"] = version_id
    else:
        more["CopySourceIfMatch"] = f'"{landed.version}"'
    with asked(landed.uri):
        _api(target_base).copy(source, _bucket(target_base), target, ExtraArgs=more, Config=in_parts(PART_BYTES))


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """Turn what boto3 raises into errors that name the object. Raises UnreadableError, NotFoundError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status in (401, 403):
            advice = f"Give these credentials the right to list, read and delete there, versions too. {_RETRY}"
            raise UnreadableError(Unreadable(uri, "cannot be reached: permission denied", advice)) from error
        why = f"cannot be reached: {_code(error)}, {error.response.get('Error', {}).get('Message', '')}".rstrip(", ")
        raise UnreadableError(Unreadable(uri, why, f"Check access to the store. {_RETRY}")) from error
    except BotoCoreError as error:
        why = f"cannot be reached: {str(error).rstrip('.')}"
        raise UnreadableError(Unreadable(uri, why, f"Check access to the store. {_RETRY}")) from error


def _api(base: str) -> Any:
    return s3_api(options_for(base))


def _bucket(base: str) -> str:
    return base.partition("://")[2]


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
