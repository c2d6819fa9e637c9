"""What a message of a queue says about objects of a store: a pure function of the message's text.

Known are the shapes in which Amazon S3 tells of its objects, and stores that speak as it does:

- S3's own notification: `Records`, the keys URL-encoded as in a form (a space is `+`);
- the same by EventBridge: one object in `detail`, the key as it is;
- `s3:TestEvent`, which S3 sends once when a notification is set up;
- any of them inside a notification of SNS (`Type: Notification`, the text in `Message`), as it comes without raw delivery.

Sources of the shapes: "Event message structure" and "EventBridge event message structure" in the guide of Amazon S3.
An event's size, tag, time and sequencer are not read: the object itself says what it is, and no order rests on events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

CREATED = "ObjectCreated:"
EVENTBRIDGE_CREATED = "Object Created"

TEST, SUBSCRIPTION, NO_RECORDS, FOLDER = "a test event", "a subscription of SNS", "no records", "a folder's marker"
"""Why a message, or a part of one, is passed over."""

_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that was written, as an event names it.

    version  the store's id of this version of it; "" where the bucket has no versions
    """

    bucket: str
    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What a message says.

    arrivals  the objects that it tells of, in its order
    skipped   for each part that tells of no arrival, what it is instead
    poison    why it, or a part of it, cannot be understood; "" where it can
    """

    arrivals: tuple[Arrival, ...] = ()
    skipped: tuple[str, ...] = ()
    poison: str = ""


class _PoisonError(Exception):
    """A part of a message that cannot be understood."""


def parse(body: str | bytes) -> Message:
    """What a message says. Never raises: what cannot be understood is `Message.poison`."""
    try:
        told = _object(body)
        if "TopicArn" in told and isinstance(kind := told.get("Type"), str):
            if kind != "Notification":
                return Message(skipped=(SUBSCRIPTION,))
            told = _object(told.get("Message"))
        parts = list(_parts(told))
    except _PoisonError as error:
        return Message(poison=str(error))
    arrivals = [part for part in parts if isinstance(part, Arrival)]
    skipped = [part for part in parts if isinstance(part, str)]
    poison = next((str(part) for part in parts if isinstance(part, _PoisonError)), "")
    return Message(tuple(dict.fromkeys(arrivals)), tuple(skipped), poison)


def uri_of(arrival: Arrival, prefix: str) -> str | None:
    """The uri of an object that lies below a prefix (`s3://BUCKET/...`), None for any other."""
    scheme, _, rest = prefix.partition("://")
    bucket, _, folder = rest.partition("/")
    folder = folder.strip("/")
    if arrival.bucket != bucket or (folder and not arrival.key.startswith(f"{folder}/")):
        return None
    return f"{scheme}://{bucket}/{arrival.key}"


def _parts(told: dict[str, Any]) -> Iterator[Arrival | str | _PoisonError]:
    """Each part of what is told: an arrival, what else it is, or why it cannot be understood."""
    if "detail-type" in told:
        yield _of_eventbridge(told)
    elif isinstance(told.get("Event"), str) and "Records" not in told:
        yield TEST if told["Event"] == "s3:TestEvent" else _named("the event", told["Event"])
    elif isinstance(records := told.get("Records"), list):
        for record in records:
            try:
                yield _of_s3(record)
            except _PoisonError as poison:
                yield poison
        if not records:
            yield NO_RECORDS
    else:
        raise _PoisonError("it is no event of an object store")


def _of_s3(record: Any) -> Arrival | str:
    """One record of S3's own notification."""
    name = record.get("eventName") if isinstance(record, dict) else None
    if not isinstance(name, str):
        raise _PoisonError("a record has no eventName")
    if not name.removeprefix("s3:").startswith(CREATED):
        return _named("the event", name)
    try:
        bucket, told = record["s3"]["bucket"]["name"], record["s3"]["object"]
        # Strictly: a key that is read wrongly would name another object.
        key = unquote_plus(_text(told["key"]), errors="strict")
        return _arrival(bucket, key, told.get("versionId"))
    except (KeyError, TypeError, AttributeError, UnicodeError):
        raise _PoisonError("a record names no object") from None


def _of_eventbridge(told: dict[str, Any]) -> Arrival | str:
    """An event of EventBridge."""
    kind = told["detail-type"]
    if not isinstance(kind, str):
        raise _PoisonError("its detail-type is no text")
    if kind != EVENTBRIDGE_CREATED:
        return _named("the event", kind)
    try:
        named = told["detail"]["object"]
        return _arrival(told["detail"]["bucket"]["name"], _text(named["key"]), named.get("version-id"))
    except (KeyError, TypeError, AttributeError, UnicodeError):
        raise _PoisonError("its detail names no object") from None


def _arrival(bucket: Any, key: str, version: Any) -> Arrival | str:
    name = _text(bucket)
    if not name or "/" in name or not key:
        raise KeyError("bucket or key")
    key.encode("utf-8")  # half a character, which JSON can spell and no store has
    name.encode("utf-8")
    if key.endswith("/"):
        return FOLDER
    # An object of the time before a bucket had versions has the version "null".
    return Arrival(name, key, version if isinstance(version, str) and version != "null" else "")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _object(body: Any) -> dict[str, Any]:
    """A JSON object from a text."""
    try:
        told = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        raise _PoisonError("it is no JSON") from None
    if not isinstance(told, dict):
        raise _PoisonError("it is no JSON object")
    return told


def _named(what: str, name: str) -> str:
    """Somebody else's word, so that it cannot fake or flood a log."""
    word = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return f"{what} {word}" if word.isprintable() else f"{what} {word!r}"
