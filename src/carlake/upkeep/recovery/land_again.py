"""What a recovery lands again: objects of the archive, and those that are left of damaged files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from carlake.errors import NotFoundError, ReadError
from carlake.landing.archived import archived, is_named_rightly, renamed_rightly
from carlake.landing.landed import LandedObject
from carlake.landing.objects import hash_object, path_of
from carlake.landing.removal import NotAsReadError
from carlake.refresh.causes import cause
from carlake.upkeep.checks.landing import held_ids
from carlake.upkeep.inspection.lake import Inspection
from carlake.upkeep.recovery.tables import Lost, Toll

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse


def land_archive(house: Lakehouse, lake: Inspection, note: Callable[[Toll], object]) -> None:
    """Land the archived objects that bronze does not hold, from where they lie. `note` is told of those that are damaged,
    before anything is done with them.
    """
    held = held_ids(lake) or set()
    missing: list[str] = []
    lost: list[Lost] = []
    for source_id, places in archived(lake.archive):
        if source_id in held:
            continue

        def damaged(why: str, name: str = places[0].uri.rpartition("/")[2], source_id: str = source_id) -> None:
            # Another copy may have been tried before; the last word counts.
            lost[:] = [one for one in lost if one.source_id != source_id]
            lost.append(Lost(f"object {name} ({source_id})", why, source_id))
            note(Toll(lost=list(lost)))

        if uri := _place_in_archive(places, damaged):
            missing.append(uri)
    if missing:
        house.run(missing)


def land_left(house: Lakehouse, land: Collection[str]) -> None:
    """Land what is left of objects. By name: a run over landing would wait until such a file has settled."""
    # What a recovery before this one has noted may lie at the place of which this lake is a copy.
    here = [uri for uri in land if (path_of(uri) or uri).startswith(f"{house.landing.rstrip('/')}/")]
    try:
        if here:
            house.run(here)
    except NotFoundError:
        # Another process has taken one of them in meanwhile.
        for uri in here:
            with contextlib.suppress(NotFoundError):
                house.run([uri])


def _place_in_archive(places: Sequence[LandedObject], damaged: Callable[[str], object]) -> str:
    """Where an archived object is to be landed from, "" where none of its copies can be read; `damaged` is told why, before
    a copy gets another place.
    """
    unread: list[str] = []
    for landed in places:
        with _noting(unread):
            if is_named_rightly(landed):
                return landed.uri
    unread.clear()
    for landed in places:
        with _noting(unread):
            content_hash = hash_object(landed)
            # It is another object than it was: under its own name it is no contradiction any more.
            damaged("its copy in the archive is damaged; what that holds was landed as an object of its own")
            return renamed_rightly(landed, content_hash)
    damaged(f"its copy in the archive cannot be read, and nothing else has it: {'; '.join(unread)}")
    return ""


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
