"""A batch of messages, taken in: what they name is landed, and each message is done with or given back, alone.

A message is done with once a commit holds every object that it names, or once nothing it names is there to be had. What
it does not say, and what nobody could read, is given back until the queue makes a dead letter of it. Whether the tables
after bronze went well is not the message's: what is in bronze reaches them by the next run, with or without an event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

from carlake.aws.budget import Budget
from carlake.lakehouse import Lakehouse
from carlake.landing.landed import LandedObject, UnreadableError
from carlake.landing.listing import is_hidden
from carlake.landing.wholeness import READY
from carlake.queue.messages import Arrival, parse, uri_of
from carlake.queue.sqs import Received
from carlake.refresh.context import WATCH
from carlake.refresh.report import DONE, RunReport
from carlake.tables.declare import BRONZE

PART_BYTES = 128 << 20
"""One commit takes objects up to this size in all, but at least one, so that a batch can stop between two commits."""

NOT_OURS, GONE, NO_TIME = "it lies in no landing prefix", "it is gone", "there was no time left"
HIDDEN, NO_MARKER = "its name is hidden, or that of a file still being written", "no marker says that it is whole"

_ASKED_AT_ONCE = 16

Key = tuple[str, str, str]
"""An object as messages name it: uri, version as listings have it, and the store's id of a version that is not the newest."""


Fault = Literal["", "message", "object", "lake", "time"]
"""What a message is given back for: it cannot be understood, what it names cannot be read, the lake takes nothing in, or
there was no time left. How soon it comes again goes by this."""


@dataclass
class Told:
    """What one message came to. `wrong` says why it is given back; "" where it is done with, or may be."""

    message: Received
    objects: dict[Key, LandedObject] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    wrong: str = ""
    fault: Fault = ""


@dataclass(frozen=True)
class Taken:
    """What a batch came to.

    told     every message, in order
    reports  the runs, one for each commit of bronze
    """

    told: tuple[Told, ...]
    reports: tuple[RunReport, ...]

    @property
    def given_back(self) -> list[Told]:
        """Messages that are not done with."""
        return [told for told in self.told if told.wrong]


def take_in(house: Lakehouse, messages: Sequence[Received], budget: Budget) -> Taken:
    """Land what the messages name and bring every table up to date, for as long as the budget allows.

    What is in landing stays there: archiving is the listing's. Raises what a lake that cannot be worked on raises.
    """
    prefix, by_marker = str(house.landing), house.settings.whole_when == "marker"
    with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="carlake-find") as pool:
        told = list(pool.map(lambda message: _read(message, prefix, by_marker), messages))
    # Those first that were given back most often: where there is never time for all, none is left until it is a dead letter.
    turn = sorted(told, key=lambda one: -one.message.receives)
    waiting = {key: landed for one in turn if not one.wrong for key, landed in one.objects.items()}
    undone: dict[Key, tuple[str, Fault]] = {}
    reports: list[RunReport] = []
    parts = list(_parts(waiting))
    while parts and budget.allows_more():
        part = parts.pop(0)

        def land(part: dict[Key, LandedObject] = part) -> None:
            reports.append(house.take(list(part.values()), trigger=WATCH))
            undone.update(_not_landed(part, reports[-1]))

        budget.spend(land)
    undone.update({key: (NO_TIME, "time") for part in parts for key in part})
    for one in told:
        for why, fault in (undone[key] for key in one.objects if key in undone):
            one.wrong, one.fault = one.wrong or why, fault
    return Taken(tuple(told), tuple(reports))


def _read(message: Received, prefix: str, by_marker: bool) -> Told:
    """What one message says, and what the store says of it. Never raises."""
    said = parse(message.body)
    told = Told(message, skipped=list(said.skipped), wrong=said.poison, fault="message" if said.poison else "")
    for arrival in said.arrivals:
        try:
            found = _looked_up(arrival, prefix, by_marker)
        except UnreadableError as error:
            told.wrong, told.fault = str(error.unreadable), "object"
            continue
        if isinstance(found, str):
            told.skipped.append(found)
        else:
            told.objects[found.uri, found.version, found.version_id] = found
    return told


def _looked_up(arrival: Arrival, prefix: str, by_marker: bool) -> LandedObject | str:
    """The object that an arrival names, or why there is none to take. Raises UnreadableError.

    Where markers say what is whole, an object is taken by its marker's message; what a folder's marker releases is left
    to the listing.
    """
    from carlake.landing import versions

    uri = uri_of(arrival, prefix)
    if uri is None:
        return NOT_OURS
    if by_marker and uri.endswith(READY):
        uri, arrival = uri.removesuffix(READY), replace(arrival, version="")
    elif by_marker and versions.current(f"{uri}{READY}") is None:
        return NO_MARKER
    if is_hidden(uri, prefix):
        return HIDDEN
    return versions.find(uri, arrival.version) or GONE


def _parts(objects: dict[Key, LandedObject]) -> Iterator[dict[Key, LandedObject]]:
    part: dict[Key, LandedObject] = {}
    size = 0
    for key, landed in objects.items():
        if part and size + landed.size > PART_BYTES:
            yield part
            part, size = {}, 0
        part[key] = landed
        size += landed.size
    if part:
        yield part


def _not_landed(part: dict[Key, LandedObject], report: RunReport) -> dict[Key, tuple[str, Fault]]:
    """What a run did not land of a part, and why."""
    bronze = next((step for step in report.steps if step.table == BRONZE), None)
    if bronze is None or bronze.status not in DONE:
        why = bronze.error.splitlines()[0] if bronze is not None and bronze.error else "nothing could be landed"
        return dict.fromkeys(part, (why, "lake"))
    problems = {problem.uri: problem.why for problem in report.problems if not problem.committed}
    return {key: (problems[key[0]], "object") for key in part if key[0] in problems}
