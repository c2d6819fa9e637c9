"""Objects as they were landed, outside of the tables: what a recovery can land again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from carlake.errors import CarlakeError
from carlake.landing.archived import archived, is_named_rightly
from carlake.landing.landed import LandedObject
from carlake.landing.listing import list_landing
from carlake.landing.objects import hash_object
from carlake.upkeep.inspection.lake import Inspection


class Copies:
    """The objects in a lake's archive, and those that lie in landing yet: a lake may leave them there.

    Nothing is read before it is asked for; what was read once is remembered.
    """

    def __init__(self, lake: Inspection) -> None:
        self._lake = lake
        self._right: dict[str, bool] = {}

    @cached_property
    def archive(self) -> dict[str, list[LandedObject]]:
        """By source id, all that lies in the archive under it, as it was landed or not."""
        found: dict[str, list[LandedObject]] = {}
        for source_id, places in archived(self._lake.archive):
            found.setdefault(source_id, []).extend(places)
        return found

    @cached_property
    def landing(self) -> dict[str, str]:
        """Where the objects in landing lie, by the hash of their content."""
        try:
            listed = list_landing(self._lake.landing).objects
        except CarlakeError:
            return {}
        found: dict[str, str] = {}
        for landed in listed:
            try:
                found.setdefault(hash_object(landed), landed.uri)
            except (CarlakeError, OSError):
                continue  # a run names it
        return found

    def in_archive(self, source_id: str) -> bool:
        """Whether the archive has an object as it was landed; a damaged copy gives nothing back."""
        if source_id not in self._right:
            self._right[source_id] = any(is_named_rightly(landed) for landed in self.archive.get(source_id, ()))
        return self._right[source_id]

    def has(self, source_id: str) -> bool:
        """Whether an object can be landed again."""
        return self.in_archive(source_id) or source_id in self.landing

    def only_in_landing(self, source_ids: Iterable[str]) -> list[str]:
        """Where those of some objects lie that landing has, and the archive has not."""
        return [self.landing[each] for each in sorted(source_ids) if not self.in_archive(each) and each in self.landing]
