"""What is known to lie in landing: by listing it, and between two listings by the messages of a queue.

The listing is the truth: an event that is lost costs the time until the next one, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from carlake.errors import SettingsError
from carlake.lakehouse import Lakehouse
from carlake.landing.landed import LandedObject
from carlake.landing.listing import Listing, list_landing
from carlake.queue.sqs import LONGEST_POLL_SECONDS, Queue
from carlake.watch.consumer import Consumer
from carlake.watch.figures import Figures, QueueFigures
from carlake.watch.http import STUCK_SECONDS

_STORES = ("s3://", "s3a://")
_IDLE_POLL_SECONDS = 1


@dataclass(frozen=True)
class Look:
    """What one look found. `listed`: landing was listed, so what is not among the objects is gone."""

    listing: Listing
    listed: bool


def arrivals(
    house: Lakehouse,
    prefixes: Sequence[str],
    list_seconds: float,
    queue: Queue | None,
    figures: Figures,
    hint: Callable[[], None],
    until_idle: bool,
) -> Arrivals:
    """The arrivals below these prefixes. Raises SettingsError where a queue cannot tell of them."""
    if queue is None:
        return Arrivals(prefixes)
    for prefix in prefixes:
        if not prefix.startswith(_STORES):
            raise SettingsError(
                f"A queue tells of objects in S3, and {prefix} is not there.",
                "Name what to watch: carlake watch s3://BUCKET/PREFIX --queue URL; or set landing to such a URI.",
            )
    from carlake.landing import versions

    figures.queue = QueueFigures()
    consumer = Consumer(
        queue,
        prefixes,
        versions.find,
        house.journal,
        figures.queue,
        hint=hint,
        alive=lambda: figures.alive(STUCK_SECONDS)[0],
        poll_seconds=_IDLE_POLL_SECONDS if until_idle else LONGEST_POLL_SECONDS,
        by_marker=house.settings.whole_when == "marker",
    )
    return Arrivals(prefixes, list_seconds, consumer)


class Arrivals:
    """The objects of the watched prefixes. Without a consumer each look is a listing.

    list_seconds  how often landing is listed where a queue tells of arrivals
    """

    def __init__(self, prefixes: Sequence[str], list_seconds: float = 0.0, consumer: Consumer | None = None) -> None:
        self.consumer = consumer
        self._prefixes = prefixes
        self._list_seconds = list_seconds
        self._next_listing = 0.0
        self._last = Listing()
        self._waiting: dict[str, LandedObject] = {}

    def look(self, now: float, *, full: bool) -> Look:
        """Look for objects; at a full look, the queue being out of reach, by listing. Raises what a listing does."""
        if self.consumer is None:
            return Look(self._list(), listed=True)
        marked = self.consumer.marked()
        listed = marked or now >= self._next_listing or (full and self.consumer.troubles > 0)
        # Before the listing: what is told of afterwards may be missing there.
        told = self.consumer.objects()
        if listed:
            self._next_listing = now  # where this listing fails, the next look is one again
            self._last = self._list()
            self._waiting = {landed.uri: landed for landed in self._last.objects}
            self._next_listing = now + self._list_seconds
        known = {(landed.uri, landed.version) for landed in self._waiting.values()}
        objects = [
            *self._waiting.values(),
            *(landed for landed in told if (landed.uri, landed.version) not in known),
        ]
        return Look(Listing(objects, self._last.unreadable, self._last.passed_over), listed)

    def took(self, landed: LandedObject) -> None:
        """Bronze holds an object."""
        if self.consumer is not None:
            if (waits := self._waiting.get(landed.uri)) is not None and waits.version == landed.version:
                del self._waiting[landed.uri]
            self.consumer.landed([landed])

    def failed(self, landed: LandedObject, why: str) -> None:
        """An object could not be taken in, several times over: whoever told of it is to do so later."""
        if self.consumer is not None:
            self.consumer.failed(landed, why)

    def divided(self, unfinished: Iterable[LandedObject], is_taken: Callable[[LandedObject], bool]) -> None:
        """Of what was found, these wait for their marker, which will be told of; and some were taken before and stay."""
        if self.consumer is None:
            return
        told = self.consumer.objects()
        waits = {(landed.uri, landed.version) for landed in unfinished}
        # Only what was told of: an object that goes on waiting is no news, after which the queue were to be asked again.
        self.consumer.landed([each for each in told if (each.uri, each.version) in waits or is_taken(each)])

    def pause(self, paused: bool) -> None:
        """Nothing can be landed for now, or it can again."""
        if self.consumer is not None:
            self.consumer.pause(paused)

    def may_have_more(self) -> bool:
        """Whether the queue may have told of something that was not looked at."""
        return self.consumer is not None and not self.consumer.paused and not self.consumer.is_idle()

    @property
    def hindered(self) -> str:
        """Why the queue cannot be used, where that is so for the second time; \"\" else."""
        consumer = self.consumer
        return (consumer.figures.error or "") if consumer is not None and consumer.troubles > 1 else ""

    def start(self) -> None:
        """Begin to consume. Raises QueueError where only a person can mend what is wrong with the queue."""
        if self.consumer is not None:
            self.consumer.start()

    def close(self) -> None:
        """End the consumer: messages that are not done are given back."""
        if self.consumer is not None:
            self.consumer.close()

    def _list(self) -> Listing:
        found = Listing()
        for prefix in self._prefixes:
            part = list_landing(prefix)
            found.objects += part.objects
            found.unreadable += part.unreadable
            found.passed_over += part.passed_over
        return found
