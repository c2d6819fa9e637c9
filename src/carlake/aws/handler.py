"""The functions on AWS Lambda: `intake`, called with messages of the queue, and `maintenance`, called by schedules.

Both open the same `Lakehouse` as the command line, with the settings that the environment gives (CARLAKE_LAKE names the
lake), then those that came with the code, then the lake's own, and keep it open between calls. Any number may run at a
time: exactness rests on the guarded commit alone, and a call that is killed in the middle leaves nothing that the next one
could not go on from.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

from carlake.aws.budget import Budget
from carlake.aws.deployed import open_deployed
from carlake.aws.messages import Fault, Taken, Told, take_in
from carlake.aws.own_settings import code_beside_the_code, file_beside_the_code
from carlake.aws.pseudonym_key import VARIABLE
from carlake.aws.telemetry import GIVEN_BACK, RUN, Measured, measured, of_run
from carlake.errors import QueueError, SettingsError
from carlake.lakehouse import Lakehouse, problems
from carlake.landing.landed import LandedObject
from carlake.queue.sqs import Queue, Received
from carlake.refresh.report import Problem, RunReport
from carlake.tables.declare import BRONZE, GOLD, SILVER

QUEUE_VARIABLE = "LANDED_QUEUE_URL"
"""The queue that messages come from, so that what is given back need not wait for its visibility timeout."""

_FRESH = (BRONZE, SILVER, *GOLD)
_WAIT_SECONDS: dict[Fault, tuple[int, int]] = {"message": (15, 15), "object": (30, 300), "lake": (30, 900)}
"""For how long a message is hidden when it was received for the first time, which doubles with each further time, and at most.

The queue counts every receive and cannot be told whose fault it was. So what cannot be understood comes soon and is a dead
letter within minutes, and a lake that takes nothing in for half a day makes none of a message that nothing is wrong with.
"""
_OBJECTS_AT_ONCE = 1000


class LambdaContext(Protocol):
    """What Lambda tells of a call."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call is ended."""
        ...


def intake(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take in a batch of messages; gives those that are not done with, so that the others are deleted."""
    messages = [_received(record) for record in event.get("Records", ())]
    budget = _budget(context)
    try:
        taken = _traced("take in", take_in, _house(), messages, budget)
    except Exception:
        # They come again soon, and not only after the queue's long timeout; the error itself is the call's.
        _give_back([Told(message, wrong="the lake cannot be worked on", fault="lake") for message in messages])
        _house.cache_clear()
        raise
    _give_back(taken.given_back)
    _tell(taken.reports, min((message.sent_at for message in messages), default=0.0), context, taken)
    return {"batchItemFailures": [{"itemIdentifier": told.message.id} for told in taken.given_back]}


def maintenance(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Do the duty that the schedule names: `list`, `refresh` or `maintain`. Gives what was done.

    list      land what no message told of, and archive what bronze holds, as far as the time goes
    refresh   bring every table up to date with the day
    maintain  merge, expire and remove what is due

    `seconds` in the event ends it earlier than the function's own limit would.
    """
    duty = event.get("duty")
    duties = {"list": _list, "refresh": _refresh, "maintain": _maintain}
    if duty not in duties:
        raise SettingsError(f"There is no duty {duty!r}.", f"There are: {', '.join(duties)}.")
    reports, done = _traced(str(duty), duties[duty], _house(), _budget(context, event.get("seconds")))
    # What a listing was the first to land, no message told of in time: it has waited since it was put.
    put = (report.oldest.timestamp() for report in reports if report.oldest is not None)
    _tell(reports, min(put, default=0.0), context, None)
    return {"duty": duty, **done}


Done = tuple[list[RunReport], dict[str, Any]]


def _list(house: Lakehouse, budget: Budget) -> Done:
    listing = house.listing()
    reports: list[RunReport] = []
    objects, wrong = _from_anywhere(listing.objects), problems(listing)
    for problem in wrong:
        _log().error("cannot be taken in", extra={"uri": problem.uri, "why": problem.why, "advice": problem.advice})
    while (objects and budget.allows_more()) or wrong:
        # What cannot be taken in is written down by a run, with or without objects.
        part: list[LandedObject] = []
        if budget.allows_more():
            part, objects = objects[:_OBJECTS_AT_ONCE], objects[_OBJECTS_AT_ONCE:]

        def take(part: Sequence[LandedObject] = part, wrong: Sequence[Problem] = wrong) -> None:
            reports.append(house.take(part, wrong, passed_over=listing.passed_over, archive=True))

        budget.spend(take)
        wrong = []
    if not listing.objects and not reports and budget.allows_more():
        # A table that could not be refreshed is tried again though nothing comes, and its alarm hears how it stands.
        budget.spend(lambda: reports.append(house.take(())))
    return reports, {"found": len(listing.objects), "left": len(objects), "unreadable": len(listing.unreadable)}


def _from_anywhere(objects: Sequence[LandedObject]) -> list[LandedObject]:
    """All of them, in their order but from any of them on: where time ends before they do, the next call begins elsewhere.

    From the first on, those that cannot be read or archived would be tried by every call, and what follows by none.
    """
    begin = random.randrange(len(objects)) if objects else 0  # noqa: S311  (no secret)
    return [*objects[begin:], *objects[:begin]]


def _refresh(house: Lakehouse, budget: Budget) -> Done:
    report = house.take(())
    return [report], {"status": report.status}


def _maintain(house: Lakehouse, budget: Budget) -> Done:
    maintained = house.maintain_for(budget.seconds())
    done = [
        {"task": done.task, "table": done.table, "files": done.files, "error": done.error} for done in maintained.done
    ]
    for failed in (one for one in done if one["error"]):
        _log().error("maintenance failed", extra=failed)
    return [], {"done": done, "busy": maintained.busy}


@cache
def _house() -> Lakehouse:
    """The lake, opened at the first call and kept; made where it is not there yet."""
    uri = os.environ.get("CARLAKE_LAKE", "")
    if not uri:
        raise SettingsError("The function does not know its lake.", "Set the variable CARLAKE_LAKE.")
    file, code = file_beside_the_code(), code_beside_the_code()
    return open_deployed(uri, file=file, secret=os.environ.get(VARIABLE, ""), code=code)


def _budget(context: LambdaContext, most_seconds: float | None = None) -> Budget:
    """What is left until the call is ended, or of as many seconds as it was asked to take."""
    until = time.monotonic() + (math.inf if most_seconds is None else float(most_seconds))
    return Budget(lambda: min(context.get_remaining_time_in_millis() / 1000, until - time.monotonic()))


def _received(record: dict[str, Any]) -> Received:
    attributes = record.get("attributes") or {}
    return Received(
        str(record["messageId"]),
        str(record["receiptHandle"]),
        str(record.get("body", "")),
        int(attributes.get("ApproximateReceiveCount", 1)),
        int(attributes.get("SentTimestamp", 0)) / 1000,
    )


def _give_back(given: Sequence[Told]) -> None:
    """Let others have the messages soon: at once where only time was missing, else later with each try."""
    for told in given:
        _log().warning(
            GIVEN_BACK,
            extra={
                "message_id": told.message.id,
                "why": told.wrong,
                "fault": told.fault,
                "receives": told.message.receives,
            },
        )
    url = os.environ.get(QUEUE_VARIABLE)
    if not url or not given:
        return
    try:
        _queue(url).hold([(told.message, wait(told.fault, told.message.receives)) for told in given])
    except QueueError as error:  # they come again once the queue's own timeout is over
        _log().warning("messages come again late", extra={"why": str(error)})


def wait(fault: Fault, receives: int) -> int:
    """For how many seconds a message is hidden that is given back, having been received so often."""
    first, most = _WAIT_SECONDS.get(fault, (0, 0))
    return min(first << min(max(receives - 1, 0), 10), most)


@cache
def _queue(url: str) -> Queue:
    return Queue(url)


@cache
def _log() -> Any:
    from aws_lambda_powertools import Logger

    return Logger(child=False)


@cache
def _tracer() -> Any:
    from aws_lambda_powertools import Tracer

    return Tracer()


def _traced(what: str, work: Any, *given: Any) -> Any:
    with _tracer().provider.in_subsegment(name=f"## {what}"):
        return work(*given)


def _tell(reports: Sequence[RunReport], oldest: float, context: LambdaContext, taken: Taken | None) -> None:
    """Log every run and emit the metrics: in the log too, from where CloudWatch takes them."""
    house = _house()
    house.write_down_runs()
    for report in reports:
        _log().info(RUN, extra={**of_run(report), "request_id": context.aws_request_id, "code": house.settings.code})
    values = measured(house, reports, oldest, datetime.now(UTC), _FRESH)
    if taken is not None:
        values.append(Measured("MessagesGivenBack", len(taken.given_back)))
    _emit(values)


def _emit(values: Sequence[Measured]) -> None:
    from aws_lambda_powertools.metrics import EphemeralMetrics

    by_table: dict[str, list[Measured]] = {}
    for value in values:
        by_table.setdefault(value.table, []).append(value)
    for table, own in by_table.items():
        # Its own dimension is `service`, the lake. An alarm finds a metric only by exactly the dimensions that it has.
        metrics = EphemeralMetrics()
        if table:
            metrics.add_dimension("table", table)
        for value in own:
            metrics.add_metric(value.name, value.unit, value.value)
        metrics.flush_metrics()
