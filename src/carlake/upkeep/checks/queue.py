"""Checks of the queue that tells of arrivals, where the settings name one."""

from __future__ import annotations

from collections.abc import Iterator

from carlake.errors import QueueError, SettingsError
from carlake.queue.sqs import Queue, State
from carlake.upkeep.checks.finding import Check, Found
from carlake.upkeep.inspection.lake import Inspection
from carlake.words import count


def _asked(lake: Inspection) -> tuple[Queue, State] | None:
    """The queue and how it stands; None where there is none, or it cannot be asked, which is a finding of its own."""
    try:
        queue = Queue(lake.settings.queue)
        return queue, queue.state()
    except (QueueError, SettingsError):
        return None


def _unusable(lake: Inspection) -> Iterator[Found]:
    if not lake.settings.queue:
        return
    try:
        Queue(lake.settings.queue).state()
    except (QueueError, SettingsError) as error:
        yield "queue", " ".join(str(error).splitlines())


def _no_redrive(lake: Inspection) -> Iterator[Found]:
    if lake.settings.queue and (found := _asked(lake)) is not None and not found[1].most_receives:
        yield found[0].url, "has no redrive policy"


def _dead_letters(lake: Inspection) -> Iterator[Found]:
    if not lake.settings.queue or (found := _asked(lake)) is None:
        return
    queue, state = found
    try:
        dead = queue.dead_letters(state)
    except QueueError as error:
        yield state.dead_letters, f"cannot be looked at: {error.what}"
        return
    if dead is not None and dead.waiting + dead.in_flight:
        yield state.dead_letters, f"holds {count(dead.waiting + dead.in_flight, 'message')}, about"


CHECKS = (
    Check(
        "queue-unusable",
        "landing",
        "warning",
        "Files take seconds or minutes to become visible, though `watch --queue` runs; `/readyz` names the queue.",
        "The queue cannot be asked: it is gone, out of reach, or these credentials have no right to it. No row is lost: landing "
        "is listed as often as without a queue.",
        "The queue of the setting `queue` is asked how it stands (sqs:GetQueueAttributes).",
        "Mend what the message names: the URL, the network, or the rights sqs:ReceiveMessage, sqs:DeleteMessage, "
        "sqs:ChangeMessageVisibility and sqs:GetQueueAttributes. A `watch` that runs goes on by itself.",
        _unusable,
    ),
    Check(
        "queue-no-redrive",
        "landing",
        "warning",
        "The log says the same of one message again and again.",
        "The queue has no redrive policy, so a message that nobody can understand comes back until its retention ends.",
        "The queue's attributes are read.",
        "Make a second queue for dead letters, and give the first a redrive policy that names it, with maxReceiveCount 5.",
        _no_redrive,
    ),
    Check(
        "queue-dead-letters",
        "landing",
        "warning",
        "Messages lie in the dead-letter queue.",
        "They could not be understood, or what they name could not be read so often that the queue gave them up. Objects among "
        "them are not lost: each listing of landing finds what still lies there.",
        "The dead-letter queue of the redrive policy is asked how many messages it holds.",
        "Read them: the log says why each was given back (`message is a dead letter`). Mend that, then move them back with the "
        "queue's redrive, or purge them.",
        _dead_letters,
    ),
)
