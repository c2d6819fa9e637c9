"""The stream of records that a fleet sends, in the order in which they arrive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from heapq import heappop, heappush
from random import Random
from typing import Literal, NamedTuple

from carlake.errors import SettingsError
from carlake.simulator.car import DAY, TWO_DIGITS, Car, Reading
from carlake.simulator.faults import Fault, faults_for
from carlake.simulator.shapes import WRITERS, Shape, car_metrics, event_id

Kind = Literal["event", "duplicate", "correction", "stale", "bad"]

# How many events later a withheld record may come; bounds what is held in memory.
_REACH = 2_000


@dataclass(frozen=True)
class Fleet:
    """What to simulate; the same values give the same bytes.

    events       distinct events, spread evenly over `days` from the UTC day `start`
    cars         cars that share them
    seed         picks the lives of the cars
    Shares of `events`, each adding records beside them (exactly `int(events * share)`):
    duplicates   the same record again, verbatim, later
    corrections  the same event again, later, with other values and a newer processing_timestamp
    stale        an older version of an event that comes later; only the nested shape can carry one, for the other
                 shapes it is a duplicate
    bad          a spoilt record that no contract accepts
    Shares of `events` among themselves:
    late         events that arrive out of time order
    flat         events of shape car_metrics (with the metrics nested or bare) in place of car_event
    snapshot     events of shape car_snapshot in place of car_event

    Raises SettingsError for a count below its least value or a share outside 0 to 1.
    """

    events: int = 1000
    cars: int = 20
    days: int = 90
    start: date = date(2025, 8, 1)
    seed: int = 7
    duplicates: float = 0.05
    corrections: float = 0.02
    stale: float = 0.01
    late: float = 0.02
    bad: float = 0.01
    flat: float = 0.0
    snapshot: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("events", 0), ("cars", 1), ("days", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"A fleet cannot have {name} = {getattr(self, name)}.", f"Give at least {least}.")
        for name in ("duplicates", "corrections", "stale", "late", "bad", "flat", "snapshot"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} = {getattr(self, name)} is not a share.", "Give a number from 0 to 1.")
        if self.flat + self.snapshot > 1:
            raise SettingsError("flat and snapshot are together more than 1.", "They are shares of the same events.")

    @property
    def records(self) -> int:
        """How many records `records` gives."""
        return self.events + sum(self.added_by(name) for name in ("duplicates", "corrections", "stale", "bad"))

    def added_by(self, name: Literal["duplicates", "corrections", "stale", "bad"]) -> int:
        """How many records a share adds."""
        return int(self.events * float(getattr(self, name)))


class Record(NamedTuple):
    """One record: its text (bytes where it is no valid UTF-8), and what is true of it.

    kind      event, duplicate, correction, stale or bad
    shape     the contract that recognises it (or would, were it not spoilt)
    car       chassis number
    event_id  the event's id as silver knows it; "" where the record is bad
    at        time of the event in seconds since 1970
    reason    the reason code that quarantine gives; "" where a contract accepts it
    """

    text: str | bytes
    kind: Kind
    shape: Shape
    car: str
    event_id: str
    at: int
    reason: str = ""


def records(fleet: Fleet, faults: Sequence[Fault] | None = None) -> Iterator[Record]:
    """The fleet's records in order of arrival; memory does not grow with their number.

    `faults` are those that bad records have, in turn; without it, all that can be on a line of NDJSON.
    """
    if faults is None:
        faults = faults_for("line")
    random = Random(fleet.seed)  # noqa: S311  not for secrets: the same seed has to give the same fleet
    number = random.random
    start = int(datetime.combine(fleet.start, time(), UTC).timestamp())
    cars = [Car(random, start) for _ in range(fleet.cars)]
    seconds = [tuple(TWO_DIGITS[int(number() * 60)] for _ in range(6)) for _ in range(64)]
    tires = [_tires(random) for _ in range(256)]
    step = fleet.days * DAY / max(1, fleet.events)
    reach = max(1, min(_REACH, fleet.events // 4))
    left = {name: fleet.added_by(name) for name in ("duplicates", "corrections", "stale", "bad")}
    left["late"] = int(fleet.events * fleet.late)
    spoilt = 0
    waiting: list[tuple[int, int, Record]] = []
    held = 0

    for index in range(fleet.events):
        events_left = fleet.events - index

        def drawn(name: str, events_left: int = events_left) -> bool:
            # Knuth's selection sampling (TAOCP 2, 3.4.2, algorithm S): exact counts, at random, in one pass.
            if left[name] and number() * events_left < left[name]:
                left[name] -= 1
                return True
            return False

        car = cars[int(number() * fleet.cars)]
        # A car has one event a second at most, so that car and time name an event of the shapes without an id.
        at = max(start + int((index + number()) * step), car.last_at + 1)
        reading = car.drive(at, _id(random), seconds[int(number() * 64)], tires[int(number() * 256)])
        share = number()
        shape: Shape = (
            "car_metrics"
            if share < fleet.flat
            else "car_snapshot"
            if share < fleet.flat + fleet.snapshot
            else "car_event"
        )
        bare = shape == "car_metrics" and number() < 0.5
        record = _record(reading, "event", shape, bare)
        later: list[Record] = []
        if drawn("duplicates"):
            later.append(record._replace(kind="duplicate"))
        if drawn("corrections"):
            newer = 3600 + int(number() * 72 * 3600)
            later.append(_record(_changed(reading, random, newer), "correction", shape, bare))
        if drawn("stale"):
            later.append(
                _record(_changed(reading, random, 60 + int(number() * 60)), "stale", shape, bare)
                if shape == "car_event"
                else record._replace(kind="duplicate")
            )
        if drawn("bad"):
            fault = faults[spoilt % len(faults)]
            spoilt += 1
            good = _record(replace(reading, event_id=_id(random)), "event", shape, bare and "csv" in fault.fits)
            text = fault.spoil(str(good.text), shape)
            later.append(Record(text, "bad", shape, car.chassis, "", at, fault.reason))
        if drawn("late"):
            later.append(record)
        else:
            yield record
        for other in later:
            held += 1
            heappush(waiting, (index + 1 + int(number() * reach), held, other))
        while waiting and waiting[0][0] <= index:
            yield heappop(waiting)[2]
    while waiting:
        yield heappop(waiting)[2]


def _record(reading: Reading, kind: Kind, shape: Shape, bare: bool) -> Record:
    text = car_metrics(reading, bare) if shape == "car_metrics" else WRITERS[shape](reading)
    return Record(text, kind, shape, reading.car.chassis, event_id(reading, shape), reading.at)


def _changed(reading: Reading, random: Random, processed_after: int) -> Reading:
    """Another version of the same event: other distance, fuel and temperature, known at another time."""
    number = random.random
    driven = reading.minutes >= 0
    return replace(
        reading,
        processed_after=processed_after,
        kilometers=round(reading.kilometers + 0.1 + 20 * number(), 1) if driven else reading.kilometers,
        odometer=reading.odometer + 1 + int(30 * number()),
        engine=60 + int(60 * number()),
        oil=60 + int(70 * number()),
        fuel=reading.fuel if reading.car.electric else round(number() * reading.car.capacity, 1),
    )


def _id(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"evt-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _tires(random: Random) -> str:
    front_left, front_right, rear_left, rear_right = (round(29 + 7 * random.random(), 1) for _ in range(4))
    return (
        f'{{"front_left": {front_left}, "front_right": {front_right}, '
        f'"rear_left": {rear_left}, "rear_right": {rear_right}}}'
    )
