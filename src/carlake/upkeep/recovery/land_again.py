"""What a recovery lands again: objects of the archive, and those that are left of damaged files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from carlake.errors import NotFoundError, ReadError
from carlake.landing.archived import archived, is_named_rightly, renamed_rightly
from carlake.landing.landed import LandedObject
from carlake.landing.removal import NotAsReadError
from carlake.refresh.causes import cause
from carlake.upkeep.checks.landing import held_ids
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.tables import Lost, Toll

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


def land_archive(house: Lakehouse, lake: Inspection, note: Callable[[Toll], object]) -> list[Lost]:
    """Land the archived objects that bronze does not hold, from where they lie; gives those that are damaged.

    note  told of these before anything lands
    """
    held = held_ids(lake) or set()
    missing: list[str] = []
    lost: list[Lost] = []
    for source_id, places in archived(lake.archive):
        if source_id in held:
            continue
        uri, why = _place_in_archive(places)
        if why:
            lost.append(Lost(f"object {places[0].uri.rpartition('/')[2]} ({source_id})", why))
        if uri:
            missing.append(uri)
    if lost:
        note(Toll(lost=lost))
    if missing:
        house.run(missing)
    return lost


def land_left(house: Lakehouse, toll: Toll) -> None:
    """Land what is left of objects. By name: a run over landing would wait until such a file has settled."""
    try:
        if toll.land:
            house.run(toll.land)
    except NotFoundError:
        # Another process has taken one of them in meanwhile.
        for uri in toll.land:
            with contextlib.suppress(NotFoundError):
                house.run([uri])
    toll.land.clear()


def _place_in_archive(places: Sequence[LandedObject]) -> tuple[str, str]:
    """Where an archived object is to be landed from, "" where none of its copies can be read; and what is wrong with it."""
    unread: list[str] = []
    for landed in places:
        with _noting(unread):
            if is_named_rightly(landed):
                return landed.uri, ""
    unread.clear()
    for landed in places:
        with _noting(unread):
            # It is another object than it was: under its own name it is no contradiction any more.
            uri = renamed_rightly(landed)
            return uri, f"its copy in the archive is damaged; what that holds was landed from {uri}"
    return "", f"its copy in the archive cannot be read, and nothing else has it: {'; '.join(unread)}"


@contextlib.contextmanager
def _noting(unread: list[str]) -> Iterator[None]:
    """Go on where one object cannot be read: the others wait for theirs to be landed."""
    try:
        yield
    except NotAsReadError:
        unread.append("it has changed while it was read")
    except ReadError as error:
        unread.append(error.what)
    except OSError as error:
        unread.append(cause(error))
