"""A queue of Amazon SQS, as far as a consumer of it needs: receive, hold, give back, delete, and how it stands.

Credentials, region and endpoint come from the environment's own chain, as boto3 has it; a queue's region is in its URL.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from carlake.errors import QueueError, SettingsError
from carlake.words import to_install

LONGEST_POLL_SECONDS = 20
"""The longest that SQS lets a receive wait for a message."""
MOST_AT_ONCE = 10
"""The most messages of one request."""
LONGEST_HOLD_SECONDS = 12 * 60 * 60

_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 15
_ATTEMPTS = 3
_ATTRIBUTES = (
    "QueueArn",
    "VisibilityTimeout",
    "RedrivePolicy",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "MessageRetentionPeriod",
)
_REGION = re.compile(r"^(?:sqs(?:-fips)?\.(?P<new>[a-z0-9-]+)|(?P<old>[a-z0-9-]+)\.queue)\.(?:amazonaws\.com|api\.aws)")
_NEEDS = "sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:GetQueueAttributes"
_MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue")
_DENIED = ("AccessDenied", "AccessDeniedException", "KMS.AccessDeniedException", "AuthorizationError")
_UNKNOWN_CALLER = (
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "ExpiredToken",
    "ExpiredTokenException",
    "MissingAuthenticationToken",
    "IncompleteSignature",
)

_Of = TypeVar("_Of")


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was received.

    handle    what to delete or hold it by; good until it is received again
    receives  how often it was received, about
    sent_at   when it was sent, in seconds of the epoch; 0 where the queue does not say
    """

    id: str
    handle: str
    body: str
    receives: int = 1
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """How a queue stands. Counts are approximate.

    visibility_seconds  for how long a message that was received is hidden from others
    dead_letters        the ARN of the queue that messages go to which are received too often; "" without a redrive policy
    most_receives       how often that is; 0 without a redrive policy
    waiting, in_flight, delayed  messages
    """

    arn: str
    visibility_seconds: int
    dead_letters: str
    most_receives: int
    waiting: int
    in_flight: int
    delayed: int
    retention_seconds: int


class Queue:
    """One queue. Its methods may be called by several threads at once.

    url      as `aws sqs get-queue-url` gives it
    profile  of the configuration of AWS; "" as the environment says

    Raises SettingsError for what is no URL of a standard queue, and where boto3 is not installed; the methods raise QueueError.
    """

    def __init__(self, url: str, profile: str = "") -> None:
        place = urlsplit(url)
        name = place.path.rstrip("/").rpartition("/")[2]
        if place.scheme not in ("http", "https") or not place.hostname or not name:
            raise SettingsError(
                f"{url.rpartition('@')[2]!r} is no URL of a queue in SQS.",
                "Give what `aws sqs get-queue-url --queue-name NAME` says: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
            )
        if name.endswith(".fifo"):
            raise SettingsError(
                f"{name} is a FIFO queue: one message that fails would hold up all others of its group.",
                "Use a standard queue. S3 sends to no other, and carlake needs no order.",
            )
        self.url = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path.rstrip('/')}"
        """The URL, without what it should not hold."""
        self.name = name
        self._client = _client(place.scheme, place.netloc.rpartition("@")[2], place.hostname, profile)

    def state(self) -> State:
        """How it stands."""
        return self._state(self.url)

    def receive(self, most: int, wait_seconds: int, hold_seconds: int) -> list[Received]:
        """Up to ten messages, hidden from others for so long; none where none came while it waited."""
        answer = self._call(
            "ReceiveMessage",
            lambda: self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=max(1, min(most, MOST_AT_ONCE)),
                WaitTimeSeconds=min(wait_seconds, LONGEST_POLL_SECONDS),
                VisibilityTimeout=hold_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            ),
        )
        return [_received(message) for message in answer.get("Messages") or ()]

    def delete(self, messages: Iterable[Received]) -> list[Received]:
        """Delete messages. Gives those that are to be tried again; who is gone, or was received by another, is not."""

        def entry(message: Received) -> dict[str, Any]:
            return {"ReceiptHandle": message.handle}

        return self._batches("DeleteMessage", messages, entry, self._client.delete_message_batch)[1]

    def hold(self, messages: Iterable[tuple[Received, int]]) -> tuple[list[Received], list[Received]]:
        """Hide each message from others for so many seconds from now; 0 gives it back at once.

        Gives those that are held no longer, having been received by another or held for twelve hours; and those to be tried again.
        """
        given = list(messages)
        seconds = {message.id: int(max(0, min(hold, LONGEST_HOLD_SECONDS))) for message, hold in given}

        def entry(message: Received) -> dict[str, Any]:
            return {"ReceiptHandle": message.handle, "VisibilityTimeout": seconds[message.id]}

        held = [message for message, _ in given]
        return self._batches("ChangeMessageVisibility", held, entry, self._client.change_message_visibility_batch)

    def dead_letters(self, state: State) -> State | None:
        """How the queue of its dead letters stands; None where there is none."""
        if not state.dead_letters:
            return None
        *_, account, name = state.dead_letters.split(":")
        answer = self._call(
            "GetQueueUrl", lambda: self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        )
        return self._state(answer["QueueUrl"])

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _state(self, url: str) -> State:
        answer = self._call(
            "GetQueueAttributes",
            lambda: self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_ATTRIBUTES)),
        )
        told: Mapping[str, str] = answer.get("Attributes") or {}
        policy = _redrive(told.get("RedrivePolicy", ""))
        waiting, in_flight, delayed = (int(told.get(f"ApproximateNumberOfMessages{which}", 0)) for which in _COUNTS)
        return State(
            arn=told.get("QueueArn", ""),
            visibility_seconds=int(told.get("VisibilityTimeout", 30)),
            dead_letters=str(policy.get("deadLetterTargetArn", "")),
            most_receives=int(policy.get("maxReceiveCount", 0)),
            waiting=waiting,
            in_flight=in_flight,
            delayed=delayed,
            retention_seconds=int(told.get("MessageRetentionPeriod", 0)),
        )

    def _batches(
        self,
        action: str,
        messages: Iterable[Received],
        entry: Callable[[Received], dict[str, Any]],
        request: Callable[..., Any],
    ) -> tuple[list[Received], list[Received]]:
        """Do it for ten messages at a time. Gives those that it is too late for, and those to be tried again."""
        late: list[Received] = []
        again: list[Received] = []
        for part in _in_parts(messages):
            entries = [{"Id": str(at), **entry(message)} for at, message in enumerate(part)]
            answer = self._call(action, partial(request, QueueUrl=self.url, Entries=entries))
            for failed in answer.get("Failed") or ():
                (late if failed.get("SenderFault") else again).append(part[int(failed["Id"])])
        return late, again

    def _call(self, action: str, request: Callable[[], _Of]) -> _Of:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return request()
        except (BotoCoreError, ClientError) as error:
            raise self._error(action, error) from error

    def _error(self, action: str, error: Exception) -> QueueError:
        """What an error of boto3 means. Its own text is used with care: it can name what was sent."""
        response = getattr(error, "response", None) or {}  # errors of the connection have one, too, and it is None
        told = response.get("Error", {})
        code, kind = str(told.get("Code", "")), type(error).__name__
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code in _MISSING:
            return QueueError(f"There is no queue {self.url}.", "Check its name, account and region.", lasting=True)
        unknown_caller = code in _UNKNOWN_CALLER or "Credential" in kind or "Token" in kind
        if code in _DENIED or (status in (401, 403) and not unknown_caller):
            advice = f"Allow {_NEEDS} on the queue, and kms:Decrypt on its key where it has one of your own."
            return QueueError(f"Queue {self.url} refuses {action}: permission denied.", advice, lasting=True)
        if unknown_caller:
            advice = (
                "Give credentials by the environment, a profile, or the role of the machine; boto3's chain is used."
            )
            return QueueError(f"Queue {self.url} cannot be asked: {code or kind}.", advice, lasting=True)
        why = f"{code} (HTTP {status})" if code and status else code or kind
        return QueueError(
            f"Queue {self.url} cannot be reached: {why}.",
            "It is tried again. Until then landing is listed as often as without a queue.",
        )


_COUNTS = ("", "NotVisible", "Delayed")


def _client(scheme: str, netloc: str, host: str, profile: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise SettingsError(
            "A queue of SQS needs boto3, which is not installed.", f"Install it, {to_install('aws')}"
        ) from None
    found = _REGION.match(host)
    # boto3 knows AWS_DEFAULT_REGION alone. The queue lies where its URL says, whatever the usual region is.
    region = (found["new"] or found["old"]) if found else os.environ.get("AWS_REGION")
    config = Config(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=LONGEST_POLL_SECONDS + _ANSWER_SECONDS,
        tcp_keepalive=True,
    )
    named = os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL")
    # A server that is not Amazon's is where the URL says, unless the environment leads to it by another way.
    endpoint = None if named or ".amazonaws." in host or host.endswith(".api.aws") else f"{scheme}://{netloc}"
    try:
        session = boto3.session.Session(profile_name=profile or None, region_name=region)
        if session.region_name is None and endpoint is None and not named:
            raise SettingsError("No region is known for the queue.", "Set AWS_REGION, or give the URL with its region.")
        return session.client(
            "sqs", region_name=session.region_name or "us-east-1", endpoint_url=endpoint, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"The queue's client cannot be made: {error}.", "Check AWS's settings.") from None


def _received(message: Mapping[str, Any]) -> Received:
    told = message.get("Attributes") or {}
    return Received(
        str(message["MessageId"]),
        str(message["ReceiptHandle"]),
        str(message.get("Body", "")),
        int(told.get("ApproximateReceiveCount", 1)),
        int(told.get("SentTimestamp", 0)) / 1000,
    )


def _redrive(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(text) if text else {}
    except ValueError:
        return {}
    return policy if isinstance(policy, dict) else {}


def _in_parts(messages: Iterable[Received]) -> Iterator[Sequence[Received]]:
    left = iter(messages)
    while part := list(islice(left, MOST_AT_ONCE)):
        yield part
