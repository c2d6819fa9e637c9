"""What messages say: the shapes of S3, EventBridge and SNS, what is passed over, and what cannot be understood."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carlake.queue.messages import FOLDER, NO_RECORDS, SUBSCRIPTION, TEST, Arrival, Message, parse, uri_of

KEYS = ["landing/a.json", "a b+c%2F/ü.json", "landing/%41.json", "a&b=c;d#e?f.json", "🚗/x.json"]


def record(key: str, name: str = "ObjectCreated:Put", bucket: str = "fleet", **of_object: Any) -> dict[str, Any]:
    """A record of S3's own notification, as the guide of Amazon S3 shows one."""
    return {
        "eventVersion": "2.2",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2025-10-01T00:00:00.000Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "fleet",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 5, "eTag": "b19", "sequencer": "617F08299329D189", **of_object},
        },
    }


def eventbridge(key: str, kind: str = "Object Created", **of_object: Any) -> dict[str, Any]:
    """An event of EventBridge."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "time": "2025-10-01T00:00:00Z",
        "resources": ["arn:aws:s3:::fleet"],
        "detail": {"bucket": {"name": "fleet"}, "object": {"key": key, "size": 5, **of_object}, "reason": "PutObject"},
    }


def of(*told: Any) -> Message:
    return parse(json.dumps({"Records": list(told)}))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_read_as_each_sender_spells_it(key: str) -> None:
    assert of(record(quote_plus(key))).arrivals == (Arrival("fleet", key),)
    assert of(record(quote_plus(key, safe="/"))).arrivals == (Arrival("fleet", key),)
    assert parse(json.dumps(eventbridge(key))).arrivals == (Arrival("fleet", key),)


@given(st.text(min_size=1).filter(lambda key: not key.endswith("/")))
def test_any_key_comes_through_both_ways(key: str) -> None:
    told = of(record(quote_plus(key))).arrivals
    assert told == parse(json.dumps(eventbridge(key))).arrivals == (Arrival("fleet", key),)


def test_versions_are_read() -> None:
    assert of(record("a", versionId="v1")).arrivals == (Arrival("fleet", "a", "v1"),)
    assert parse(json.dumps(eventbridge("a", **{"version-id": "v1"}))).arrivals == (Arrival("fleet", "a", "v1"),)
    assert (
        of(record("a", versionId="null")).arrivals
        == of(record("a", versionId=None)).arrivals
        == (Arrival("fleet", "a"),)
    )


def test_several_records_and_doubled_ones() -> None:
    told = of(record("a"), record("b"), record("a"), record("a", versionId="v"))
    assert told == Message((Arrival("fleet", "a"), Arrival("fleet", "b"), Arrival("fleet", "a", "v")))


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
@pytest.mark.parametrize("before", ["", "s3:"])
def test_every_way_to_create_counts(name: str, before: str) -> None:
    assert of(record("a", f"{before}ObjectCreated:{name}")).arrivals == (Arrival("fleet", "a"),)


def test_a_notification_of_sns_is_unwrapped() -> None:
    for inner in ({"Records": [record("a")]}, eventbridge("a")):
        outer = {"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": json.dumps(inner)}
        assert parse(json.dumps(outer)).arrivals == (Arrival("fleet", "a"),)
    assert parse(json.dumps({**outer, "Message": "text"})).poison == "it is no JSON"
    assert parse(json.dumps({**outer, "Type": "SubscriptionConfirmation"})).skipped == (SUBSCRIPTION,)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "fleet"}, TEST),
        ({"Service": "Amazon S3", "Event": "s3:Other", "Bucket": "fleet"}, "the event s3:Other"),
        ({"Records": []}, NO_RECORDS),
        ({"Records": [record("a/")]}, FOLDER),
        ({"Records": [record("a", "ObjectRemoved:Delete")]}, "the event ObjectRemoved:Delete"),
        (eventbridge("a", "Object Deleted"), "the event Object Deleted"),
        ({"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "detail": {}},
         "the event EC2 Instance State-change Notification"),
        ({"Records": [record("a", "x\n" * 50)]}, "the event 'x\\n"),
    ],
)  # fmt: skip
def test_what_tells_of_no_arrival_is_passed_over(message: object, reason: str) -> None:
    told = parse(json.dumps(message))
    assert (told.arrivals, told.poison) == ((), "")
    assert len(told.skipped) == 1 and told.skipped[0].startswith(reason) and len(told.skipped[0]) < 150


@pytest.mark.parametrize(
    "body",
    [
        "", "nonsense", "[]", "1", "null", "{}", '{"Records": 1}', '{"Records": null}', '{"detail-type": 1}',
        '{"Records": [1]}', '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "%FF"}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": ""}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b/c"}, "object": {"key": "k"}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": 1, "object": {"key": "k"}}}]}',
        '{"detail-type": "Object Created", "detail": {"bucket": {"name": "b"}, "object": {"key": "\\ud800"}}}',
        '{"detail-type": "Object Created"}', "[" * 100_000, '{"a":' * 100_000, "9" * 10_000, b"\xff\xfe{}",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_poison(body: str | bytes) -> None:
    told = parse(body)
    assert told.poison and not told.arrivals and not told.skipped


def test_what_can_be_understood_beside_poison_is_told_too() -> None:
    told = of(record("a"), {"eventName": 1}, record("b", "ObjectRemoved:Delete"))
    assert told == Message((Arrival("fleet", "a"),), ("the event ObjectRemoved:Delete",), "a record has no eventName")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["Records", "eventName", "s3", "bucket", "name", "object", "key", "versionId", "detail", "Type",
                         "detail-type", "Event", "TopicArn", "Message", "version-id"]) | st.text(), inner),
    max_leaves=10,
)  # fmt: skip
NAMES = st.sampled_from(["ObjectCreated:Put", "Object Created", "Notification", "s3:TestEvent"])


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_no_body_makes_it_raise(body: str | bytes) -> None:
    told = parse(body)
    assert told.arrivals or told.skipped or told.poison


@settings(max_examples=40)
@given(
    st.fixed_dictionaries(
        {}, optional={"eventName": NAMES | JSON, "s3": JSON | st.fixed_dictionaries({"bucket": JSON, "object": JSON})}
    ),
    st.fixed_dictionaries({"detail-type": NAMES | JSON}, optional={"detail": JSON, "source": JSON}),
    st.fixed_dictionaries({"TopicArn": JSON, "Type": NAMES | JSON, "Message": st.text() | JSON}),
)
def test_no_nearly_right_body_makes_it_raise(one: Any, two: Any, three: Any) -> None:
    for message in ({"Records": [one]}, two, three):
        told = parse(json.dumps(message))
        assert told.arrivals or told.skipped or told.poison


@pytest.mark.parametrize(
    ("key", "prefix", "uri"),
    [
        ("landing/a", "s3://fleet/landing", "s3://fleet/landing/a"),
        ("landing/a", "s3://fleet/landing/", "s3://fleet/landing/a"),
        ("landing/a", "s3a://fleet", "s3a://fleet/landing/a"),
        ("landing2/a", "s3://fleet/landing", None),
        ("landing", "s3://fleet/landing", None),
        ("landing/a", "s3://fleet2/landing", None),
        ("landing/a", "s3://fleet/land", None),
    ],
)
def test_an_object_belongs_to_a_prefix_by_whole_folders(key: str, prefix: str, uri: str | None) -> None:
    assert uri_of(Arrival("fleet", key), prefix) == uri
