"""Why a table could not be refreshed, in a person's words: what happened, to which file, and what to do next."""

from __future__ import annotations

import errno
import re

from carlake.catalogs.failures import meaning
from carlake.errors import CarlakeError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXT = re.compile(r"no space left on device|disk quota exceeded|file too large|database or disk is full", re.I)
_MISSING = re.compile(r"No files found that match the pattern \"(?P<file>[^\"]+)\"")
_FILE = re.compile(r"(?:[\"']|file://|: )(?P<file>/[^\"']*\.(?:parquet|avro|json))\b")
_ESCAPED = re.compile(r"\[([*?\[])\]")  # how a path with a wildcard in it is given to the engine
_DAMAGED = re.compile(
    r"no magic bytes|magic number|footer|corrupt|invalid parquet|thrift|decompress|snappy|zstd|deserializ|unexpected end"
    r"|not a parquet file|avro|protocolexception|out of buffer|page header",
    re.I,
)


def is_full(error: Exception) -> bool:
    """Whether a full disk, a quota or a limit of the size of files is what broke something off."""
    return (isinstance(error, OSError) and error.errno in _FULL) or _FULL_TEXT.search(str(error)) is not None


def speaks_of_damage(text: str) -> bool:
    """Whether an engine's message is about a file whose content is not what it should be."""
    return _DAMAGED.search(text) is not None


def cause(error: Exception) -> str:
    """What `error` is to say in a run's report; the first line is what happened, what to do next follows."""
    if isinstance(error, CarlakeError):
        return str(error)
    # The engine adds the SQL that it was at, which tells a person nothing.
    text = " ".join(str(error).split("\n\n")[0].split())
    if is_full(error):
        return (
            f"The disk is full: {text}\n"
            "Nothing of this was committed; what the table held stands. Free some space: the next run goes on from here."
        )
    if found := _MISSING.search(text):
        return f"File {_plain(found['file'])} is missing.\n{_MEND}"
    named = getattr(error, "filename", None) or (found["file"] if (found := _FILE.search(text)) else None)
    if named and isinstance(error, FileNotFoundError):
        return f"File {_plain(str(named))} is missing.\n{_MEND}"
    if isinstance(error, PermissionError):
        return f"Permission denied: {named or text}\nGive this user the right to read and write there."
    if named and _DAMAGED.search(text):
        return f"File {_plain(str(named))} is damaged: {text}\n{_MEND}"
    if said := meaning(error):
        what, advice = said
        return f"{what[:1].upper()}{what[1:].rstrip('.')}.\n{advice}".rstrip()
    return f"{type(error).__name__}: {text}"


_MEND = "`carlake doctor` says what mends it. The table's snapshots that do not need the file stay readable."


def _plain(path: str) -> str:
    return _ESCAPED.sub(r"\1", path)
