"""A consumer of a queue that tells of objects in a store: it receives, holds, gives back and deletes messages.

A message is a hint with a memory: it is held (hidden from other consumers) while what it names is landed, deleted once
a commit holds that, and given back where that cannot be. So it may come twice, late, or never: content that bronze has
adds nothing, and the listing of landing goes on beside it.

- A message that tells of no arrival (a test, another event, an object that is not watched or is gone) is deleted.
- One that cannot be understood, or names an object that cannot be read, is given back with a wait that grows each time,
  until the queue's redrive policy moves it to the dead-letter queue.
- While nothing can be landed (no catalog, a full disk), messages are held and no more are received: they are not at
  fault, and are not to become dead letters for it.

One thread receives and asks the store for what messages name; another deletes, gives back, and prolongs the hold.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from carlake.errors import QueueError
from carlake.journal import Journal
from carlake.landing.landed import LandedObject, UnreadableError, shown
from carlake.landing.listing import is_hidden
from carlake.landing.wholeness import FOLDER_READY, READY
from carlake.queue.messages import Arrival, parse, uri_of
from carlake.queue.sqs import LONGEST_POLL_SECONDS, MOST_AT_ONCE, Queue, Received
from carlake.refresh.causes import cause
from carlake.watch.figures import QueueFigures
from carlake.watch.in_hand import GivenBack, InHand

SKIPPED, RETURNED, DEAD = "messages skipped", "message given back", "message is a dead letter"
NO_REDRIVE, QUEUE_TROUBLE, QUEUE_WELL = "queue has no dead-letter queue", "queue cannot be used", "queue answers again"
NOT_WATCHED, HIDDEN, GONE = "an object that is not watched", "a hidden object", "an object that is gone"

_MOST_HELD = 2000
_USUAL_HOLD_SECONDS, _SHORTEST_HOLD_SECONDS = 30, 2
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0
_KEEP_SECONDS, _STATE_SECONDS, _SAY_SKIPPED_SECONDS = 5.0, 60.0, 60.0
# A poll that is broken off swallows the next message until its hold ends. With messages in hand polls are short, so that
# the last one is over before they are given back; one of a quiet time is left, for whoever watches next lists first.
_BUSY_POLL_SECONDS = 1
_LAST_POLL_SECONDS, _LAST_WORK_SECONDS = 2.5, 10.0
_ASKED_AT_ONCE = 16

Find = Callable[[str, str], LandedObject | None]
"""Looks up an object by its uri and the store's id of a version ("": the newest); None where it is gone. Raises UnreadableError."""


@dataclass
class _Read:
    """What one message came to: the objects that it names, what was passed over (with an example), what is wrong."""

    objects: list[LandedObject] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    poison: str = ""
    unreadable: str = ""
    marker: bool = False


class Consumer:
    """Consumes a queue from `start` to `close`. The other methods are for the loop's thread.

    prefixes      uris of what is watched; other objects are passed over
    find          looks an object up
    hint          called when there is something to take
    alive         whether the loop goes round: for one that does not, holds are not prolonged
    poll_seconds  how long a receive waits for a message
    by_marker     objects are whole once a marker beside them says so
    """

    def __init__(
        self,
        queue: Queue,
        prefixes: Sequence[str],
        find: Find,
        journal: Journal,
        figures: QueueFigures,
        *,
        hint: Callable[[], None] = lambda: None,
        alive: Callable[[], bool] = lambda: True,
        poll_seconds: int = LONGEST_POLL_SECONDS,
        by_marker: bool = False,
    ) -> None:
        self.queue = queue
        self.figures = figures
        self._prefixes = tuple(prefix.rstrip("/") for prefix in prefixes)
        self._find = find
        self._journal = journal
        self._hint = hint
        self._alive = alive
        self._poll_seconds = poll_seconds
        self._by_marker = by_marker
        self._marked = False
        self._hold_seconds = _USUAL_HOLD_SECONDS
        self._most_receives: int | None = None
        self._lock = threading.Lock()
        self._hand = InHand()
        self._skips: dict[str, _Skips] = {}
        self._closing, self._room, self._work = threading.Event(), threading.Event(), threading.Event()
        self.paused = False
        """Whether no more is received for now."""
        self._empty_since = self._changed = time.monotonic()
        self._next_state = 0.0
        self._receiver = threading.Thread(target=self._receive_all, name="carlake-queue", daemon=True)
        self._keeper = threading.Thread(target=self._keep_all, name="carlake-queue-keeper", daemon=True)
        self._pool = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="carlake-queue-find")
        self.troubles = 0
        """How often in a row the queue could not be used."""

    # -- for the loop ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. Raises QueueError where only a person can mend what is wrong; a queue that does not answer is waited for."""
        try:
            self._look()
        except QueueError as error:
            if error.lasting:
                raise
            self._trouble(error)
        self._receiver.start()
        self._keeper.start()

    def close(self) -> None:
        """End: delete the messages that are done with, and give back at once those that are not."""
        self._closing.set()
        self._room.set()
        self._work.set()
        for thread, seconds in ((self._receiver, _LAST_POLL_SECONDS), (self._keeper, _LAST_WORK_SECONDS)):
            if thread.is_alive():
                thread.join(seconds)
        with self._lock:
            self._hand.abandon()
        with suppress(QueueError):
            self._settle()
        self._say_skipped(last=True)
        if not self._receiver.is_alive():  # else it still gives back what its last poll brings
            self._pool.shutdown(wait=False)

    def objects(self) -> list[LandedObject]:
        """What messages name and no commit holds yet, in the order in which it was told."""
        with self._lock:
            return self._hand.objects()

    def marked(self) -> bool:
        """Whether a message told of a marker since this was last asked, so that landing is to be listed."""
        marked, self._marked = self._marked, False
        return marked

    def landed(self, objects: Sequence[LandedObject]) -> None:
        """A commit holds these: messages that name nothing else are deleted."""
        if not objects:
            return
        with self._lock:
            for landed in objects:
                self._hand.landed(landed)
            self._changed = time.monotonic()
        self._work.set()
        self._room.set()

    def failed(self, landed: LandedObject, why: str) -> None:
        """An object cannot be taken in: the messages that name it are given back."""
        with self._lock:
            self._hand.failed(landed, f"{shown(landed.uri)} {why}")
        self._work.set()

    def pause(self, paused: bool) -> None:
        """Receive no more for now, or go on. What is held stays so."""
        self.paused = paused
        if not paused:
            self._room.set()

    def is_idle(self) -> bool:
        """Whether nothing is in hand, and the queue gave nothing when it was asked after the last of it."""
        with self._lock:
            return not len(self._hand) and self._empty_since > self._changed

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _receive_all(self) -> None:
        while not self._closing.is_set():
            room = 0 if self.paused else _MOST_HELD - len(self._hand)
            if room <= 0:
                self._room.wait(1.0)
                self._room.clear()
                continue
            asked = time.monotonic()
            try:
                wait = _BUSY_POLL_SECONDS if len(self._hand) else self._poll_seconds
                messages = self.queue.receive(min(room, MOST_AT_ONCE), wait, self._hold_seconds)
                self._well()
                if messages:
                    self._take_in(messages)
                else:
                    self._empty_since = asked
            except Exception as error:  # noqa: BLE001  (a consumer outlives what is wrong with its queue)
                self._closing.wait(self._trouble(error))

    def _take_in(self, messages: Sequence[Received]) -> None:
        self.figures.received += len(messages)
        if self._closing.is_set():
            self.queue.hold([(message, 0) for message in messages])
            self.figures.returned += len(messages)
            return
        with self._lock:
            self._changed = time.monotonic()
            for message in messages:
                # In hand from now on, so that the hold is prolonged while the store is asked.
                self._hand.received(message, self._changed + self._hold_seconds)
        told = list(self._pool.map(self._read, messages))
        with self._lock:
            for message, read in zip(messages, told, strict=True):
                self.figures.poison += bool(read.poison)
                self.figures.skipped += bool(read.skipped) and not read.objects
                self._marked |= read.marker
                for reason, example in read.skipped:
                    self._skips.setdefault(reason, _Skips()).add(example)
                self._hand.names(message, read.objects, read.poison, read.unreadable)
            if closing := self._closing.is_set():
                self._hand.abandon()
        if closing:
            self._settle()
        self._say_skipped()
        self._work.set()
        self._hint()

    def _read(self, message: Received) -> _Read:
        """What a message says, and what the store says of it. Never raises."""
        told = parse(message.body)
        read = _Read(skipped=[(reason, "") for reason in told.skipped], poison=told.poison)
        for arrival in told.arrivals:
            try:
                self._look_up(arrival, read)
            except UnreadableError as error:
                read.unreadable = str(error.unreadable)
            except Exception as error:  # noqa: BLE001  (whatever is wrong with it stays with this message)
                read.unreadable = f"{shown(f'{arrival.bucket}/{arrival.key}')} cannot be looked up: {cause(error)}"
        return read

    def _look_up(self, arrival: Arrival, read: _Read) -> None:
        uris = [(prefix, uri) for prefix in self._prefixes if (uri := uri_of(arrival, prefix)) is not None]
        if not uris:
            read.skipped.append((NOT_WATCHED, f"{arrival.bucket}/{arrival.key}"))
            return
        prefix, uri = uris[0]
        version = arrival.version
        name = uri.rpartition("/")[2]
        if self._by_marker and (name == FOLDER_READY or name.endswith(READY)):
            read.marker = True
            if name == FOLDER_READY:
                return
            uri, version = uri.removesuffix(READY), ""
        if is_hidden(uri, prefix):
            read.skipped.append((HIDDEN, uri))
        elif (landed := self._find(uri, version)) is None:
            read.skipped.append((GONE, uri))
        else:
            read.objects.append(landed)

    # -- keeping -----------------------------------------------------------------------------------------------------

    def _keep_all(self) -> None:
        while not self._closing.is_set():
            self._work.wait(min(self._hold_seconds / 4, _KEEP_SECONDS))
            self._work.clear()
            try:
                self._settle()
                self._prolong()
                if time.monotonic() >= self._next_state:
                    self._look()
            except Exception as error:  # noqa: BLE001  (see `_receive_all`)
                self._closing.wait(self._trouble(error))

    def _settle(self) -> None:
        """Delete what is done with, and give back what cannot be done."""
        with self._lock:
            deletes, returns = list(self._hand.deletes.values()), list(self._hand.returns.values())
        if deletes:
            again = {message.id for message in self.queue.delete(deletes)}
            done = [message for message in deletes if message.id not in again]
            self.figures.deleted += len(done)
            with self._lock:
                for message in done:
                    if self._hand.deletes.get(message.id) is message:
                        del self._hand.deletes[message.id]
        if returns:
            self._say_returned(returns)
            _, again_returns = self.queue.hold([(given.message, given.seconds) for given in returns])
            kept = {message.id for message in again_returns}
            self.figures.returned += len(returns) - len(kept)
            with self._lock:
                for given in returns:
                    if given.message.id not in kept and self._hand.returns.get(given.message.id) is given:
                        del self._hand.returns[given.message.id]

    def _prolong(self) -> None:
        """Hold on to what is in hand, in time."""
        now = time.monotonic()
        with self._lock:
            self.figures.oldest_sent = self._hand.oldest()
            soon = now + self._hold_seconds * 2 / 3
            due = [held for held in self._hand.held.values() if not held.late and held.until < soon]
        if not due or not self._alive():
            return
        late, again = self.queue.hold([(held.message, self._hold_seconds) for held in due])
        kept = {message.id for message in (*late, *again)}
        lost = {message.id for message in late}
        for held in due:
            held.late = held.message.id in lost
            if held.message.id not in kept:
                held.until = now + self._hold_seconds
                self.figures.prolonged += 1

    def _look(self) -> None:
        """Ask how the queue stands."""
        state = self.queue.state()
        self._next_state = time.monotonic() + _STATE_SECONDS
        self._hold_seconds = (
            state.visibility_seconds if state.visibility_seconds >= _SHORTEST_HOLD_SECONDS else _USUAL_HOLD_SECONDS
        )
        if not state.most_receives and self._most_receives is None:
            advice = (
                "A message that always fails comes again until its retention ends: give the queue a redrive policy."
            )
            self._journal.write("warning", NO_REDRIVE, queue=self.queue.url, advice=advice)
        self._most_receives = state.most_receives
        self.figures.waiting, self.figures.in_flight, self.figures.delayed = (
            state.waiting,
            state.in_flight,
            state.delayed,
        )

    # -- what is said ------------------------------------------------------------------------------------------------

    def _trouble(self, error: Exception) -> float:
        """Note that the queue cannot be used. Gives for how long to leave it alone."""
        with self._lock:
            self.troubles += 1
            first = self.troubles == 1
        what = cause(error)
        self.figures.error = what
        wait = float(min(_FIRST_WAIT_SECONDS * 2 ** min(self.troubles - 1, 20), _LONGEST_WAIT_SECONDS))
        wait *= random.uniform(0.75, 1)  # noqa: S311  (jitter, not a secret)
        if first:
            self._journal.write("error", QUEUE_TROUBLE, error=what, again_seconds=round(wait, 1))
            self._hint()  # landing is to be listed as often as without a queue
        return wait

    def _well(self) -> None:
        if self.troubles:
            with self._lock:
                self.troubles = 0
            self.figures.error = None
            self._journal.write("info", QUEUE_WELL, queue=self.queue.url)

    def _say_returned(self, returns: Sequence[GivenBack]) -> None:
        for given in returns:
            message = given.message
            if not given.why:
                continue
            dead = bool(self._most_receives) and message.receives >= (self._most_receives or 0)
            self.figures.dead += dead
            self._journal.write(
                "error" if dead else "warning",
                DEAD if dead else RETURNED,
                message=message.id,
                why=given.why,
                receives=message.receives,
                again_seconds=None if dead else given.seconds,
            )

    def _say_skipped(self, *, last: bool = False) -> None:
        """Say what was passed over: at once where it is new, and then from time to time how often."""
        now = time.monotonic()
        for reason, skips in list(self._skips.items()):
            if skips.count and (last or now >= skips.say_at):
                self._journal.write("info", SKIPPED, why=reason, messages=skips.count, example=shown(skips.example))
                self._skips[reason] = _Skips(say_at=now + _SAY_SKIPPED_SECONDS)


@dataclass
class _Skips:
    """How often something was passed over since it was last said, an example, and when it may be said again."""

    count: int = 0
    example: str = ""
    say_at: float = 0.0

    def add(self, example: str) -> None:
        self.count += 1
        self.example = self.example or example
