"""The queue itself: messages are received, held, given back and deleted, and errors say what to do."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from carlake.errors import QueueError, SettingsError
from carlake.queue.sqs import Queue, Received
from queues.conftest import Place
from servers.faults import Fault, failing
from servers.processes import free_port
from watch.running import wait_until


def test_messages_are_received_held_given_back_and_deleted(place: Place) -> None:
    queue = Queue(place.url)
    for number in range(13):
        place.send(str(number))
    got: list[Received] = []
    while more := queue.receive(10, 1, 60):
        assert len(more) <= 10
        got += more
    assert sorted(int(message.body) for message in got) == list(range(13))
    assert {message.receives for message in got} == {1} and all(message.sent_at > 1.7e9 for message in got)
    assert queue.state().in_flight == 13
    assert queue.delete(got[:11]) == []
    assert queue.hold([(got[11], 0), (got[12], 90)]) == ([], [])
    (back,) = queue.receive(10, 1, 60)
    assert (back.id, back.receives) == (got[11].id, 2)
    assert back.handle != got[11].handle
    assert queue.delete([back, got[12]]) == []
    assert place.left() == 0
    assert queue.hold([(back, 5), (got[12], 5)]) == ([back, got[12]], []), "it is too late to hold them"
    assert queue.delete([back]) == [], "who is gone need not be deleted again"
    queue.close()


def test_how_a_queue_stands(place: Place) -> None:
    queue = Queue(place.hold(7).url)
    place.send("x")
    state = queue.state()
    assert (state.visibility_seconds, state.waiting, state.in_flight, state.delayed) == (7, 1, 0, 0)
    assert (state.most_receives, state.dead_letters) == (3, place.attributes(place.dead_url)["QueueArn"])
    dead = queue.dead_letters(state)
    assert dead is not None and (dead.waiting, dead.dead_letters, dead.most_receives) == (0, "", 0)
    place.sqs.set_queue_attributes(QueueUrl=place.url, Attributes={"RedrivePolicy": ""})
    assert queue.state().most_receives == 0 and queue.dead_letters(queue.state()) is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("fleet", "is no URL of a queue"),
        ("arn:aws:sqs:eu-central-1:1:fleet", "is no URL of a queue"),
        ("https://user:secret@sqs.eu-central-1.amazonaws.com", "is no URL of a queue"),
        ("https://sqs.eu-central-1.amazonaws.com/1/fleet.fifo", "is a FIFO queue"),
    ],
)
def test_what_is_no_standard_queue_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        Queue(url)
    assert raised.value.advice and "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "region", "endpoint"),
    [
        ("https://sqs.eu-north-1.amazonaws.com/1/q", "eu-north-1", "https://sqs.eu-north-1.amazonaws.com"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn"),
        ("http://127.0.0.1:4566/1/q", "eu-central-1", "http://127.0.0.1:4566"),
    ],
)
def test_a_queue_is_asked_where_its_url_says(
    monkeypatch: pytest.MonkeyPatch, url: str, region: str, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    meta = Queue(url)._client.meta
    assert (meta.region_name, meta.endpoint_url) == (region, endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Queue(url)._client.meta.endpoint_url == "http://127.0.0.1:1", "unless the environment leads elsewhere"


def test_without_boto3_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingsError, match="needs boto3") as raised:
        Queue("https://sqs.eu-central-1.amazonaws.com/1/q")
    assert "pip install -c constraints.txt -e '.[aws]'" in raised.value.advice


def test_a_queue_that_is_not_there(place: Place) -> None:
    with pytest.raises(QueueError, match=r"There is no queue .*-not-there") as raised:
        Queue(f"{place.url}-not-there").state()
    assert raised.value.lasting


def test_a_queue_that_cannot_be_reached(place: Place) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(QueueError, match="cannot be reached: EndpointConnectionError") as raised:
            Queue(place.url).receive(10, 1, 30)
    assert not raised.value.lasting and "listed" in raised.value.advice


@pytest.mark.parametrize(
    ("status", "lasting", "says"),
    [(403, True, "refuses GetQueueAttributes: permission denied"), (503, False, "cannot be reached")],
)
def test_a_queue_that_refuses(place: Place, status: int, lasting: bool, says: str) -> None:
    with failing(place.server.endpoint, Fault("status", operations=("POST",), status=status)) as proxy:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            with pytest.raises(QueueError, match=says) as raised:
                Queue(place.url).state()
    assert raised.value.lasting is lasting


def test_an_error_never_shows_what_was_sent(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    queue = Queue(place.url.replace("://", "://user:secret@"))
    for code in ("InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch", "AccessDenied", "Other"):
        error: Any = {"Error": {"Code": code, "Message": "AKIAEXAMPLE secret"}}

        def refused(error: Any = error, **_: object) -> None:
            raise ClientError(error, "ReceiveMessage")

        monkeypatch.setattr(queue._client, "receive_message", refused)
        with pytest.raises(QueueError) as raised:
            queue.receive(1, 1, 30)
        assert raised.value.lasting is (code != "Other")
        assert code in str(raised.value) or "permission denied" in str(raised.value)
        assert "secret" not in str(raised.value) and "AKIA" not in str(raised.value)


def test_without_credentials_it_is_said(monkeypatch: pytest.MonkeyPatch, place: Place, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(QueueError, match="cannot be asked: NoCredentialsError") as raised:
        Queue(place.url).state()
    assert raised.value.lasting and "credentials" in raised.value.advice


def test_a_poll_ends_as_soon_as_a_message_comes(place: Place) -> None:
    queue = Queue(place.url)
    got: list[Received] = []
    thread = threading.Thread(target=lambda: got.extend(queue.receive(10, 20, 30)))
    thread.start()
    place.send("x")
    wait_until(lambda: bool(got))
    thread.join()
