"""The records of sample files, as landing would split them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carlake.errors import ReadError
from carlake.landing.listing import list_paths
from carlake.landing.objects import open_object
from carlake.landing.records import split


def records_of(
    paths: Sequence[str], max_record_bytes: int, problems: list[tuple[str, str]]
) -> Iterator[tuple[str | None, str | None, str | None]]:
    """(raw, reason, detail) of each record of the files, folders and globs of `paths`, one after the other.

    What cannot be read is added to `problems` as (uri, why). Raises NotFoundError for a path that does not exist.
    """
    listing = list_paths(paths)
    problems += [(item.uri, item.why) for item in listing.unreadable]
    for landed in listing.objects:
        try:
            with open_object(landed) as stream:
                for batch in split(stream, max_record_bytes=max_record_bytes):
                    columns = [batch.column(name).to_pylist() for name in ("raw", "reason", "detail")]
                    yield from zip(*columns, strict=True)
        except (ReadError, OSError) as error:
            problems.append((landed.uri, error.what if isinstance(error, ReadError) else str(error)))
