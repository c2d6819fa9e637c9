"""What becomes of a message is decided by all that it names, however it was told."""

from __future__ import annotations

from dataclasses import replace

from carlake.landing.landed import LandedObject
from carlake.queue.sqs import Received
from carlake.watch.in_hand import InHand
from lakes import MODIFIED

ONE = LandedObject("s3://bucket/landing/one.json", 3, MODIFIED, "v1")
TWO = LandedObject("s3://bucket/landing/two.json", 3, MODIFIED, "v1")
MESSAGE = Received("message", "handle", "body")


def taken_in(*objects: LandedObject, message: Received = MESSAGE, poison: str = "") -> InHand:
    hand = InHand()
    hand.received(message, 60.0)
    hand.names(message, objects, poison)
    return hand


def test_a_message_is_done_with_when_all_that_it_names_is_landed() -> None:
    hand = taken_in(ONE, TWO)
    hand.landed(ONE)
    assert hand.objects() == [TWO] and list(hand.held) == ["message"] and not hand.deletes
    hand.landed(TWO)
    assert not hand.objects() and not hand.held and hand.deletes == {"message": MESSAGE}


def test_another_version_is_another_object() -> None:
    hand = taken_in(ONE)
    hand.landed(replace(ONE, version="v2"))
    assert hand.objects() == [ONE] and not hand.deletes


def test_messages_that_name_one_object_are_done_with_together() -> None:
    hand = taken_in(ONE)
    again = Received("again", "other", "body")
    hand.received(again, 60.0)
    hand.names(again, [ONE, TWO])
    assert hand.objects() == [ONE, TWO]
    hand.landed(ONE)
    assert list(hand.deletes) == ["message"] and list(hand.held) == ["again"]


def test_what_came_again_is_deleted_by_its_new_handle_and_not_before_it_was_looked_at() -> None:
    hand = taken_in(ONE)
    hand.landed(ONE)
    again = replace(MESSAGE, handle="new", receives=2)
    hand.received(again, 120.0)
    assert not hand.deletes and list(hand.held) == ["message"]
    hand.names(MESSAGE, [])  # what was asked for the message as it was first received
    assert not hand.deletes
    hand.names(again, [])
    assert hand.deletes == {"message": again}


def test_poison_is_given_back_though_the_rest_is_landed() -> None:
    hand = taken_in(ONE, poison="is no message of S3")
    hand.landed(ONE)
    assert not hand.deletes and hand.returns["message"].why == "is no message of S3"


def test_what_failed_is_given_back_and_longer_each_time() -> None:
    waits = []
    for receives in (1, 2, 3, 50):
        hand = taken_in(ONE, TWO, message=replace(MESSAGE, receives=receives))
        hand.failed(ONE, "cannot be read")
        assert not hand.held and not hand.deletes
        # What else it named is still worth landing.
        assert hand.objects() == [TWO]
        waits.append(hand.returns["message"].seconds)
    assert waits[0] <= 30 < waits[1] <= 60 < waits[2] <= 120 < waits[3] <= 900
