"""Keys of a store that are no paths: `a//b`, `a/../b`, a key with a line break. See `landing.store_listing`."""

from __future__ import annotations

import re

from carlake.storage.clients import options_for, s3_api

_NAMED = re.compile(r'Path "(?P<key>.*)"(?: contained empty path segment|: Encountered illegal)', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_SEGMENTS = ("", ".", "..")


def is_path(key: str) -> bool:
    """Whether the client reads the object of a key, and no other in its place."""
    return _CONTROL.search(key) is None and not any(segment in _NO_SEGMENTS for segment in key.split("/"))


def is_slashed(base: str, key: str) -> bool:
    """Whether S3 has an object of that key with a slash behind it, which the client's listing names without."""
    scheme, _, bucket = base.partition("://")
    if scheme not in ("s3", "s3a"):
        return False
    try:
        s3_api(options_for(base)).head_object(Bucket=bucket, Key=f"{key}/")
    except Exception:  # noqa: BLE001  (whatever it is, it is not known to be there)
        return False
    return True


def odd_key(failure: Exception) -> str | None:
    """The key that a listing failed at, None where it failed for another reason."""
    found = _NAMED.search(str(failure))
    return found["key"] if found else None


def behind(key: str) -> str:
    """A key that is a path and sorts behind all that begin like `key` up to what is no path in it.

    Stores list keys in the order of their bytes, behind a given one. `/0` follows all that begin with `//`.
    """
    good: list[str] = []
    for segment in key.split("/")[:-1] if key.endswith("/") else key.split("/"):
        control = _CONTROL.search(segment)
        if segment in _NO_SEGMENTS:
            return "/".join([*good, f"{segment}0"])
        if control is not None:
            after = " " if control[0] < " " else "\x80"
            return "/".join([*good, segment[: control.start()] + after])
        good.append(segment)
    return "/".join([*good, "0"])  # it ends in `//`
