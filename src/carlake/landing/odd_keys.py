"""Keys of a store that are no paths: `a//b`, `a/../b`, a key with a line break.

Stores take any text for a key. The client takes paths, and refuses the whole page of a listing that holds another key.
So the listing goes on behind such a key, and it is reported by name.
"""

from __future__ import annotations

import re

_NAMED = re.compile(r'Path "(?P<key>.*)"(?: contained empty path segment|: Encountered illegal)', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


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
        if segment in ("", ".", ".."):
            return "/".join([*good, f"{segment}0"])
        if control is not None:
            after = " " if control[0] < " " else "\x80"
            return "/".join([*good, segment[: control.start()] + after])
        good.append(segment)
    return "/".join([*good, "0"])  # it ends in `//`
