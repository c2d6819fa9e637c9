"""The messages of a queue that a consumer has in hand: what each still waits for, and what is to become of it.

Bookkeeping alone: nothing is asked of a queue or a store here, and the caller sees to it that one thread at a time is at it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from carlake.landing.landed import LandedObject
from carlake.queue.sqs import Received

# An object that cannot be read may be so for minutes; what cannot be understood stays so.
_OBJECT_AGAIN_SECONDS, _POISON_AGAIN_SECONDS, _LONGEST_AGAIN_SECONDS = 30, 1, 900

Key = tuple[str, str]
"""An object's uri and version."""


@dataclass
class Held:
    """A message that is held.

    until   when its hold ends, on a clock that is never set
    wants   what it names and no commit holds yet; None while the store is being asked
    poison  what of it cannot be understood
    late    another consumer may have it by now
    """

    message: Received
    until: float
    wants: set[Key] | None = None
    poison: str = ""
    late: bool = False


@dataclass(frozen=True)
class GivenBack:
    """A message that is given back, why, and after how many seconds it is to come again."""

    message: Received
    why: str
    seconds: int


@dataclass
class InHand:
    """All messages in hand.

    held      those whose objects are not all landed
    deletes   those that are done with, to be deleted; they are held until they are
    returns   those that are to be given back
    """

    held: dict[str, Held] = field(default_factory=dict)
    deletes: dict[str, Received] = field(default_factory=dict)
    returns: dict[str, GivenBack] = field(default_factory=dict)
    _objects: dict[Key, LandedObject] = field(default_factory=dict)
    _wanted: dict[Key, set[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.held) + len(self.deletes) + len(self.returns)

    def objects(self) -> list[LandedObject]:
        """What messages name and no commit holds yet, in the order in which it was told."""
        return list(self._objects.values())

    def received(self, message: Received, until: float) -> None:
        """A message was received; perhaps again, its hold having ended: then what it came to before counts no more."""
        self._drop(message.id)
        self.deletes.pop(message.id, None)
        self.returns.pop(message.id, None)
        self.held[message.id] = Held(message, until)

    def names(self, message: Received, objects: Iterable[LandedObject], poison: str = "", unreadable: str = "") -> None:
        """What a message came to: the objects that it names, and what is wrong with it or with one of them."""
        held = self.held.get(message.id)
        if held is None or held.message is not message:
            return  # received again meanwhile
        held.poison, held.wants = poison, set()
        for landed in objects:
            key = (landed.uri, landed.version)
            held.wants.add(key)
            self._objects.setdefault(key, landed)
            self._wanted.setdefault(key, set()).add(message.id)
        if unreadable:
            self._give_back(held, unreadable, _OBJECT_AGAIN_SECONDS)
        elif not held.wants:
            self._finish(held)

    def landed(self, landed: LandedObject) -> None:
        """A commit holds it: messages that wait for nothing else are done with."""
        key = (landed.uri, landed.version)
        self._objects.pop(key, None)
        for held in [self.held[message] for message in self._wanted.pop(key, ())]:
            assert held.wants is not None
            held.wants.discard(key)
            if not held.wants:
                self._finish(held)

    def failed(self, landed: LandedObject, why: str) -> None:
        """It cannot be taken in: the messages that name it are given back."""
        key = (landed.uri, landed.version)
        self._objects.pop(key, None)
        for held in [self.held[message] for message in self._wanted.pop(key, ())]:
            self._give_back(held, why, _OBJECT_AGAIN_SECONDS)

    def abandon(self) -> None:
        """Give back at once what is not done."""
        for held in list(self.held.values()):
            self._drop(held.message.id)
            self.returns[held.message.id] = GivenBack(held.message, "", 0)

    def oldest(self) -> float | None:
        """When the oldest message in hand was sent, in seconds of the epoch."""
        sent = [held.message.sent_at for held in self.held.values() if held.message.sent_at]
        return min(sent, default=None)

    def _finish(self, held: Held) -> None:
        """Nothing that the message names is left to do."""
        if held.poison:
            self._give_back(held, held.poison, _POISON_AGAIN_SECONDS)
        else:
            self._drop(held.message.id)
            self.deletes[held.message.id] = held.message

    def _give_back(self, held: Held, why: str, first_seconds: int) -> None:
        self._drop(held.message.id)
        wait = min(first_seconds * 2 ** min(held.message.receives - 1, 20), _LONGEST_AGAIN_SECONDS)
        seconds = max(1, round(wait * random.uniform(0.75, 1)))  # noqa: S311  (jitter, not a secret)
        self.returns[held.message.id] = GivenBack(held.message, why, seconds)

    def _drop(self, message: str) -> None:
        """Hold a message no more. What it named is still worth landing."""
        held = self.held.pop(message, None)
        for key in (held.wants or ()) if held is not None else ():
            self._wanted.get(key, set()).discard(message)
