"""How records would fare: those of sample files, split as landing would; and what landed ones carry that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from carlake.contracts.contract import ContractSet
from carlake.contracts.drift import Drift, Outcome, check, drift
from carlake.errors import ReadError
from carlake.landing.listing import list_paths
from carlake.landing.objects import open_object
from carlake.landing.records import split

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


def check_sample(paths: Sequence[str], contracts: ContractSet) -> tuple[list[Outcome], list[tuple[str, str]]]:
    """How the records of files would fare, by contract and reason; and (uri, why) of what cannot be read.

    Nothing is landed. Raises NotFoundError for a path that does not exist.
    """
    problems: list[tuple[str, str]] = []
    return check(records_of(paths, contracts.max_record_bytes, problems), contracts), problems


def landed_drift(house: Lakehouse, limit: int) -> tuple[list[Drift], int]:
    """The paths in the newest `limit` landed records that no contract names; and how many records were looked at."""
    rows = house.query(
        f"SELECT raw FROM bronze_car_data WHERE raw IS NOT NULL ORDER BY ingested_at DESC LIMIT {int(limit)}"
    )
    texts = (str(text) for chunk in rows["raw"].chunks for text in chunk.to_pylist())
    return drift(texts, house.contracts), rows.num_rows


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
