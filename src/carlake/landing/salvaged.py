"""What a recovery lands of an object that cannot be had whole any more: the records that are left, as an object of its own.

Its lines are those of a rewritten object (`landing.rewriting`): a record that is no JSON object is wrapped, so that it is
found again whatever stands beside it. No note tells its hash; the name alone says what it is.
"""

from __future__ import annotations

import re

SALVAGED = "salvaged-"
"""How the names of such objects begin."""

_NAME = re.compile(rf"{SALVAGED}[0-9a-f]{{16}}\.ndjson")


def salvaged_name(source_id: str) -> str:
    """The name of what is left of an object: the same at every try."""
    return f"{SALVAGED}{source_id[:16]}.ndjson"


def is_salvaged(uri: str) -> bool:
    """Whether an object, in landing or in the archive, is named as such."""
    return _NAME.fullmatch(uri.rpartition("/")[2]) is not None
