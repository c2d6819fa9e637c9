"""Names of cars so short that they stand in carlake's own texts by chance: `22` in a date, `1` in carlake.toml.

No search can tell there whether the car is meant. Places of which the content is searched by itself too (values of Parquet
files, packed objects), or in which no car can stand, are told apart from those where a short name is the car's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from carlake.landing.compression import is_compressed
from carlake.tables.declare import OPS_RUNS, QUARANTINE
from carlake.upkeep.erasure.search import Needle, Place, search_file

SHORTEST = 6
"""A name of so many characters is told anywhere."""

_ARCHIVED = re.compile(r"/\d{4}-\d{2}-\d{2}/[0-9a-f]{64}/([^/]+)$")
_OWN = re.compile(r"(/metadata/[^/]+|/carlake\.toml|/\.carlake/.+|/catalog\.db[^/]*|\.parquet)$")
"""What carlake writes itself, beside what lands; of a Parquet file the values are searched unpacked."""
_IN_BYTES = frozenset({"text", "escaped", "wrapped"})


def is_untold(place: Place, names: Sequence[str], landing: Sequence[str]) -> bool:
    """Whether a place where one of the names was found is one where a short name cannot be told from other text.

    landing  the folders and prefixes that objects are landed from
    """
    short = [name for name in names if len(name) < SHORTEST]
    if not short:
        return False
    path = Path(place.path)
    if len(short) < len(names) and _holds(path, Needle([name for name in names if len(name) >= SHORTEST])):
        return False
    if any(place.path.startswith(f"{prefix.rstrip('/')}/") for prefix in landing):
        return False
    archived = _ARCHIVED.search(place.path)
    if place.kind == "name":
        return archived is None or not Needle(short).in_text(archived[1])
    if place.kind in _IN_BYTES:
        return (archived is None and _OWN.search(place.path) is not None) or _is_decoded(path)
    if place.kind == "parquet value":
        # What a detail quotes stands in its record, by which the row was judged; the rest is counts.
        detail = f"/{QUARANTINE}/" in place.path and place.what == "detail"
        return detail or (f"/{OPS_RUNS}/" in place.path and place.what != "error")
    return place.kind == "avro"


def _holds(path: Path, needle: Needle) -> bool:
    """Whether a file holds a name; what lies in a store is not looked at again, and counts as if it did."""
    return needle.in_text(path.name) or not path.exists() or any(search_file(path, needle))


def _is_decoded(path: Path) -> bool:
    """Whether what is in a file is searched unpacked, beside its bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(8)
    return is_compressed(head) or head.startswith(b"PAR1")
