"""What a watch knows of the objects in landing between two looks; losing it costs a few looks, and no event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from carlake.landing.objects import LandedObject

_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.2, 300.0
# An object that failed so often is left for later by who wants to be done.
_FEW_TRIES = 3


@dataclass
class _Tried:
    """An object that could not be taken in: the version that was tried, how often, and when it is tried again."""

    version: str
    tries: int
    again: float


class Objects:
    """When each object was first seen, which ones were taken and stay, and which ones wait to be tried again.

    Times are seconds of a clock that is never set.
    """

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._taken: dict[str, str] = {}
        self._tried: dict[str, _Tried] = {}

    def __len__(self) -> int:
        return len(self._seen.keys() | self._taken.keys() | self._tried.keys())

    def listed(self, objects: Iterable[LandedObject], now: float, *, whole: bool = True) -> list[LandedObject]:
        """Note what was found, and forget what is gone where that was the `whole` of landing.

        Gives the objects that were not taken yet as they are.
        """
        found = list(objects)
        if not whole:
            for landed in found:
                self._seen.setdefault(landed.uri, now)
            return [landed for landed in found if not self.is_taken(landed)]
        self._seen = {landed.uri: self._seen.get(landed.uri, now) for landed in found}
        self._taken = {uri: version for uri, version in self._taken.items() if uri in self._seen}
        self._tried = {uri: tried for uri, tried in self._tried.items() if uri in self._seen}
        return [landed for landed in found if not self.is_taken(landed)]

    def is_taken(self, landed: LandedObject) -> bool:
        """Whether an object that stays in landing was taken as it is."""
        return self._taken.get(landed.uri) == landed.version

    def seen(self, landed: LandedObject) -> float:
        """When an object was first seen."""
        return self._seen[landed.uri]

    def may_try(self, landed: LandedObject, now: float) -> bool:
        """Whether it is time to take an object in: it has changed since it was tried, or its wait is over."""
        tried = self._tried.get(landed.uri)
        return tried is None or tried.version != landed.version or tried.again <= now

    def failed(self, landed: LandedObject, now: float) -> bool:
        """An object could not be taken in: each wait is twice as long. Whether it has been so often."""
        before = self._tried.get(landed.uri)
        tries = before.tries + 1 if before and before.version == landed.version else 1
        wait = min(_FIRST_RETRY_SECONDS * 2 ** min(tries - 1, 20), _LONGEST_RETRY_SECONDS)
        self._tried[landed.uri] = _Tried(landed.version, tries, now + wait)
        return tries >= _FEW_TRIES

    def took(self, landed: LandedObject, *, stays: bool) -> None:
        """An object was taken in; `stays`: it lies in landing all the same."""
        self._tried.pop(landed.uri, None)
        if stays and not landed.version_id:  # an older version says nothing of what bears the name
            self._taken[landed.uri] = landed.version

    def next_try(self, now: float) -> float:
        """When the next of those that failed is to be tried."""
        return min((tried.again for tried in self._tried.values() if tried.again > now), default=float("inf"))

    @property
    def failing(self) -> bool:
        """Whether an object could not be taken in yet."""
        return bool(self._tried)

    @property
    def soon_tried(self) -> bool:
        """Whether an object that failed is one that may go well soon."""
        return any(tried.tries < _FEW_TRIES for tried in self._tried.values())
