"""A watch that a queue tells of arrivals: each event once in gold, and no message deleted before a commit has what it names."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake.errors import QueueError, SettingsError
from carlake.landing import stores
from carlake.landing.landed import LandedObject
from carlake.queue.sqs import Queue, Received
from carlake.refresh import run as runs
from carlake.settings import Settings
from carlake.watch import consumer, in_hand
from carlake.watch.figures import QueueFigures
from carlake.watch.http import Monitor
from carlake.watch.loop import Watch
from lakes import lakehouse
from queues.conftest import Place
from queues.test_messages import record
from servers.faults import Fault, failing
from watch.running import Running, all_once, event, wait_until, watching

# With a listing at the start and none later, what arrives is known by messages alone.
QUIET = Settings(threads=1, list_seconds=0.5, queue_list_seconds=3600)
# So long after, time and size alone would tell that an object is known.
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def told(place: Place, folder: Path, settings: Settings = QUIET, **options: Any) -> Any:
    """A watch of the bucket's landing prefix, told by the queue."""
    return watching(folder / "lake", settings, prefixes=[place.landing], queue=Queue(place.url), **options)


def until_listed(running: Running) -> None:
    """Wait until the first listing was done, so that nothing else is known by it."""
    running.until(lambda: running.watch.figures.ready)


def until_settled(running: Running, place: Place, deleted: int) -> None:
    """Wait until so many messages were deleted and none is left."""
    figures = running.watch.figures.queue
    assert figures is not None
    running.until(lambda: figures.deleted >= deleted)
    running.until(lambda: place.left() == 0)


def test_what_s3_tells_of_is_landed_and_its_messages_are_deleted(place: Place, small_folder: Path) -> None:
    place.notified()
    place.put("before.json", event(0))
    with told(place, small_folder) as running:
        until_listed(running)
        place.put("a b+%41/ü.json", event(1))
        place.put("b.json", event(2))
        place.s3.put_object(Bucket=place.bucket, Key="other/c.json", Body=event(3).encode())
        place.s3.copy_object(Bucket=place.bucket, Key="landing/c.json", CopySource=f"{place.bucket}/other/c.json")
        upload = {"Bucket": place.bucket, "Key": "landing/d.json"}
        part = {"UploadId": place.s3.create_multipart_upload(**upload)["UploadId"], **upload}
        tag = place.s3.upload_part(PartNumber=1, Body=event(4).encode(), **part)["ETag"]
        place.s3.complete_multipart_upload(MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]}, **part)
        place.put("_hidden.json", event(5))
        # The test event, one of `before`, `other/` and `_hidden`, and one or two of each of the others.
        until_settled(running, place, deleted=8)
        all_once(running.house, range(5))
        reasons = {line["why"] for line in running.events(consumer.SKIPPED)}
        assert {"a test event", consumer.NOT_WATCHED, consumer.HIDDEN} <= reasons
        assert place.landed() == ["_hidden.json", "a b+%41/ü.json", "b.json", "before.json", "c.json", "d.json"]
        assert place.dead() == []


def test_eventbridge_and_sns_tell_too(place: Place, small_folder: Path) -> None:
    with told(place, small_folder) as running:
        until_listed(running)
        for number, name in enumerate(["a b+c.json", "%41.json", "by-sns.json"]):
            place.put(name, event(number))
        place.tell("a b+c.json")
        place.tell("%41.json")
        inner = json.dumps({"Records": [record("landing/by-sns.json", bucket=place.bucket)]})
        place.send({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": inner})
        place.send({"detail-type": "Object Deleted", "source": "aws.s3", "detail": {}})
        until_settled(running, place, deleted=4)
        all_once(running.house, range(3))


def test_keys_that_are_no_paths_are_told_of_and_hide_no_other(place: Place, small_folder: Path) -> None:
    """Each of these is one that the client would take for another key, or refuse with all that is listed beside it."""
    odd = ["d/", "/b.json", "q/../b.json"]
    for number, name in enumerate(["+1.json", "d", "q/-1.json", "z.json"]):
        place.put(name, event(number))
    for number, name in enumerate(odd):
        place.put(name, event(10 + number))
    settings = Settings(threads=1, landing=place.landing)
    with watching(small_folder / "lake", settings, until_idle=True) as running:
        watched = running.join()
        assert (watched.reason, watched.well) == ("idle", False)
        house = running.house
        assert place.landed() == sorted(odd)
        all_once(house, range(4))
        assert {problem.uri for problem in house.run().problems} == {f"{place.landing}/{name}" for name in odd}
        place.s3.delete_object(Bucket=place.bucket, Key="landing//b.json")
        place.s3.delete_object(Bucket=place.bucket, Key="landing/q/../b.json")
        [problem] = house.run().problems
        assert problem.uri == f"{place.landing}/d" and "'landing/d/'" in problem.why


def test_doubled_reordered_and_outdated_messages_change_nothing(place: Place, small_folder: Path) -> None:
    with told(place, small_folder) as running:
        until_listed(running)
        for number in range(6):
            place.put(f"{number}.json", event(number))
        for number in [5, 3, 1, 0, 2, 4, 5, 5, 1]:
            place.tell(f"{number}.json")
        place.tell("never-there.json")
        until_settled(running, place, deleted=10)
        place.tell("3.json")
        place.send({"Records": [record(f"landing/{n}.json", bucket=place.bucket) for n in (0, 1, 2, 9)]})
        until_settled(running, place, deleted=12)
        all_once(running.house, range(6))
        assert consumer.GONE in {line["why"] for line in running.events(consumer.SKIPPED)}


@pytest.mark.parametrize("own", [False, True], ids=["a prefix, which stays", "own landing, which is archived"])
def test_each_version_counts_also_one_that_nobody_had_read(place: Place, small_folder: Path, own: bool) -> None:
    place.versioned()
    archive = f"s3://{place.bucket}/archive"
    settings = QUIET.model_copy(update={"landing": place.landing, "archive": archive}) if own else QUIET
    where: dict[str, Any] = {} if own else {"prefixes": [place.landing]}
    with watching(small_folder / "lake", settings, queue=Queue(place.url), **where) as running:
        until_listed(running)
        first = place.put("a.json", event(1))
        second = place.put("a.json", event(2))
        deleted = place.put("b.json", event(3))
        place.s3.delete_object(Bucket=place.bucket, Key="landing/b.json")
        place.tell("a.json", second)
        place.tell("a.json", first)
        place.tell("b.json", deleted)
        place.tell("a.json", "no-such-version")
        until_settled(running, place, deleted=4)
        all_once(running.house, [1, 2, 3])
        if own:
            kept = place.s3.list_objects_v2(Bucket=place.bucket, Prefix="archive/")["Contents"]
            assert len(kept) == 3 and place.landed() == []
        else:
            # Which version was taken last says nothing of what the listing shows.
            running.watch._arrivals._next_listing = 0.0
            seen = running.watch.figures.files
            running.until(lambda: running.watch._arrivals._next_listing > 0)
            all_once(running.house, [1, 2, 3])
            assert running.watch.figures.files - seen <= 1


def test_poison_goes_to_the_dead_letters_and_hinders_nothing(place: Place, small_folder: Path) -> None:
    with told(place, small_folder) as running:
        until_listed(running)
        place.send("nonsense")
        place.put("a.json", event(1))
        place.put("b.json", event(2))
        half = {"Records": [record("landing/a.json", bucket=place.bucket), {"eventName": 1}]}
        place.send(half)
        place.tell("b.json")
        running.until(lambda: len(place.dead()) == 2)
        assert place.dead() == sorted(["nonsense", json.dumps(half)])
        assert place.left() == 0
        all_once(running.house, [1, 2])
        figures = running.watch.figures.queue
        assert figures is not None and (figures.deleted, figures.dead) == (1, 2)
        assert figures.poison == 6, "each was received three times"
        assert {line["why"] for line in running.events(consumer.DEAD)} == {"it is no JSON", "a record has no eventName"}
        assert running.events(consumer.NO_REDRIVE) == []


def test_a_queue_without_dead_letters_is_told_of(place: Place, small_folder: Path) -> None:
    place.sqs.set_queue_attributes(QueueUrl=place.url, Attributes={"RedrivePolicy": ""})
    with told(place, small_folder) as running:
        running.until(lambda: bool(running.events(consumer.NO_REDRIVE)))
        assert "redrive policy" in running.events(consumer.NO_REDRIVE)[0]["advice"]


def test_an_object_that_cannot_be_read_keeps_its_message_alone(
    place: Place, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_hand, "_OBJECT_AGAIN_SECONDS", 1)
    denied = Fault("status", operations=("GetObject",), path="bad", status=403)
    with failing(place.server.endpoint, denied) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with told(place.patient(), small_folder) as running:
            until_listed(running)
            for number, name in enumerate(["good.json", "bad.json", "fine.json"]):
                place.put(name, event(number))
                place.tell(name)
            figures = running.watch.figures.queue
            assert figures is not None
            running.until(lambda: figures.deleted == 2 and figures.returned >= 1)
            all_once(running.house, [0, 2])
            for line in running.events(consumer.RETURNED):
                assert "bad.json" in line["why"] and "permission denied" in line["why"]
            proxy.faults = ()
            until_settled(running, place, deleted=3)
            all_once(running.house, range(3))
            assert place.dead() == []


def test_no_message_is_deleted_before_a_commit_has_what_it_names(place: Place, small_folder: Path) -> None:
    committed: set[str] = set()
    deleted: list[str] = []
    early: list[str] = []

    class Watchful(Queue):
        def delete(self, messages: Iterable[Received]) -> list[Received]:
            given = list(messages)
            names = [json.loads(message.body)["detail"]["object"]["key"].removeprefix("landing/") for message in given]
            deleted.extend(names)
            early.extend(name for name in names if name not in committed)
            return super().delete(given)

    def prepare(watch: Watch) -> None:
        take = watch.house.take

        def noted(objects: Any, *more: Any, **options: Any) -> Any:
            time.sleep(0.2)  # in which a message that is not held for it would go
            report = take(objects, *more, **options)
            rows = watch.house.query("SELECT DISTINCT source_uri FROM bronze_car_data")["source_uri"].to_pylist()
            committed.update(uri.removeprefix(f"{place.landing}/") for uri in rows)
            return report

        watch.house.take = noted  # type: ignore[method-assign]

    queue = Watchful(place.url)
    with watching(small_folder / "lake", QUIET, prepare, prefixes=[place.landing], queue=queue) as running:
        until_listed(running)
        for number in range(8):
            place.put(f"{number}.json", event(number))
            place.tell(f"{number}.json")
        until_settled(running, place, deleted=8)
        assert early == [] and len(deleted) == 8


def test_while_nothing_can_be_landed_messages_are_held_and_no_more_are_received(
    place: Place, small_folder: Path
) -> None:
    failing_now = [True]

    def prepare(watch: Watch) -> None:
        take = watch.house.take

        def broken(objects: Any, *more: Any, **options: Any) -> Any:
            if objects and failing_now[0]:
                raise OSError("no catalog")
            return take(objects, *more, **options)

        watch.house.take = broken  # type: ignore[method-assign]

    with told(place.hold(4).patient(), small_folder, prepare=prepare) as running:
        until_listed(running)
        place.put("a.json", event(1))
        place.tell("a.json")
        running.until(lambda: running.watch.figures.errors >= 2)
        figures = running.watch.figures.queue
        assert figures is not None and figures.received == 1
        for number in (2, 3, 4):
            # The poll that was under way may get one more.
            place.put(f"{number}.json", event(number))
            place.tell(f"{number}.json")
            before = figures.prolonged
            running.until(lambda before=before: figures.prolonged >= before + 1)  # type: ignore[misc]
        assert place.waiting() >= 1
        failing_now[0] = False
        until_settled(running, place, deleted=4)
        assert figures.returned == 0 and place.dead() == []
        all_once(running.house, range(1, 5))


def test_a_hold_is_prolonged_while_a_batch_takes_long(place: Place, small_folder: Path) -> None:
    def prepare(watch: Watch) -> None:
        take = watch.house.take

        def slow(objects: Any, *more: Any, **options: Any) -> Any:
            figures = watch.figures.queue
            if objects and figures is not None:
                before = figures.prolonged
                wait_until(lambda: figures.prolonged >= before + 3)
            return take(objects, *more, **options)

        watch.house.take = slow  # type: ignore[method-assign]

    with told(place.hold(4).patient(), small_folder, prepare=prepare) as running:
        until_listed(running)
        place.put("a.json", event(1))
        place.tell("a.json")
        until_settled(running, place, deleted=1)
        figures = running.watch.figures.queue
        assert figures is not None and figures.received == 1, "it was not received twice"
        all_once(running.house, [1])


def test_answers_of_the_queue_that_are_lost_double_nothing(
    place: Place, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(place.hold(2).patient().server.endpoint, Fault("lost", 0.3, operations=("POST",)), seed=7) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with told(place, small_folder) as running:
            until_listed(running)
            for number in range(20):
                place.put(f"{number}.json", event(number))
                place.tell(f"{number}.json")
            running.until(lambda: place.left() == 0)
            all_once(running.house, range(20))
            assert place.dead() == []
        assert proxy.befell["lost", "POST"] >= 2


def test_a_queue_out_of_reach_is_told_and_listing_does_its_work(
    place: Place, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing(place.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with told(place, small_folder) as running, Monitor(running.watch.figures, "127.0.0.1", 0) as monitor:
            until_listed(running)
            proxy.faults = (Fault("refused", operations=("POST",)),)
            figures = running.watch.figures.queue
            assert figures is not None
            place.send("ends the poll")
            running.until(lambda: figures.error is not None)
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(f"{monitor.url}/readyz", timeout=10)
            with answer.value as body:
                assert "cannot be reached" in json.load(body)["queue"]
            place.put("a.json", event(1))
            running.until(lambda: running.watch.figures.files == 1)
            (line,) = running.events(consumer.QUEUE_TROUBLE)
            assert line["level"] == "error" and "again_seconds" in line
            proxy.faults = ()
            running.until(lambda: bool(running.events(consumer.QUEUE_WELL)))
            with urllib.request.urlopen(f"{monitor.url}/metrics", timeout=10) as page:
                text = page.read().decode()
            assert "carlake_queue_up 1.0" in text and "carlake_queue_messages_received_total" in text
            assert 'carlake_queue_messages{state="waiting"}' in text
            all_once(running.house, [1])


def test_an_event_that_was_lost_costs_only_time(place: Place, small_folder: Path) -> None:
    with told(place, small_folder, QUIET.model_copy(update={"queue_list_seconds": 0.5})) as running:
        until_listed(running)
        place.put("a.json", event(1))
        running.until(lambda: running.watch.figures.files == 1)
        all_once(running.house, [1])


def test_stopping_gives_back_at_once_what_is_not_done(place: Place, small_folder: Path) -> None:
    def prepare(watch: Watch) -> None:
        def broken(objects: Any, *more: Any, **options: Any) -> Any:
            raise OSError("no catalog")

        watch.house.take = broken  # type: ignore[method-assign]

    with told(place.hold(600), small_folder, prepare=prepare) as running:
        running.until(lambda: running.watch.figures.errors >= 1)
        running.watch._arrivals.pause(False)
        place.put("a.json", event(1))
        place.tell("a.json")
        figures = running.watch.figures.queue
        assert figures is not None
        running.until(lambda: figures.received == 1)
        assert (place.left(), place.waiting()) == (1, 0)
    assert place.waiting() == 1 and figures.returned == 1


def test_until_idle_takes_what_the_queue_has_and_ends(place: Place, small_folder: Path) -> None:
    for number in range(25):
        place.put(f"{number}.json", event(number))
        place.tell(f"{number}.json")
    with told(place, small_folder, until_idle=True) as running:
        watched = running.join()
    assert (watched.reason, watched.well, watched.files) == ("idle", True, 25)
    assert place.left() == 0
    with running.house as house:
        all_once(house, range(25))


def test_until_idle_ends_when_the_queue_is_out_of_reach(
    place: Place, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.json", event(1))
    with failing(place.server.endpoint, Fault("refused", operations=("POST",))) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with told(place, small_folder, until_idle=True) as running:
            watched = running.join()
    assert watched.reason.startswith("hindered: Queue ") and not watched.well
    with running.house as house:
        all_once(house, [1])


def test_until_idle_ends_when_nothing_can_be_landed(
    place: Place, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.json", event(1))
    place.tell("a.json")

    def full(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(runs, "land", full)
    with told(place.hold(600), small_folder, until_idle=True) as running:
        watched = running.join()
    assert not watched.well and place.waiting() == 1, "it is given back, for whoever can land it"


def test_until_idle_ends_beside_an_object_without_its_marker(place: Place, small_folder: Path) -> None:
    place.put("a.json", event(1))
    with told(place, small_folder, QUIET.model_copy(update={"whole_when": "marker"}), until_idle=True) as running:
        watched = running.join()
    assert watched.reason == "idle" and watched.files == 0


def test_an_object_waits_for_its_marker_and_its_message_does_not(place: Place, small_folder: Path) -> None:
    place.notified()
    with told(place, small_folder, QUIET.model_copy(update={"whole_when": "marker"})) as running:
        until_listed(running)
        place.put("a.json", event(1))
        until_settled(running, place, deleted=2)
        assert running.watch.figures.files == 0
        place.put("a.json.ready")
        until_settled(running, place, deleted=3)
        all_once(running.house, [1])
        place.put("day/b.json", event(2))
        place.put("day/c.json", event(3))
        place.put("day/_SUCCESS")
        until_settled(running, place, deleted=6)
        running.until(lambda: running.watch.figures.files == 3)
        all_once(running.house, [1, 2, 3])


def test_a_queue_that_is_not_there_is_a_mistake_now(place: Place, small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", QUIET) as house:
        watch = Watch(house, [place.landing], queue=Queue(f"{place.url}-not-there"))
        with pytest.raises(QueueError, match="There is no queue"):
            watch.run()


def test_a_queue_tells_of_objects_in_s3_alone(place: Place, small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", QUIET) as house:
        for prefixes in ([], [str(small_folder)], [place.landing, "gs://fleet"]):
            with pytest.raises(SettingsError, match="A queue tells of objects in S3") as raised:
                Watch(house, prefixes, queue=Queue(place.url))
            assert "--queue URL" in raised.value.advice


def of_one_second(place: Place) -> tuple[LandedObject, LandedObject]:
    """Two versions of one object, of equal size and put in one second, of which the newer one is there."""
    place.versioned()
    uri = f"{place.landing}/a.json"
    while True:
        first, second = place.put("a.json", event(1)), place.put("a.json", event(2))
        older, newer = stores.head(uri, first), stores.head(uri)
        assert older is not None and newer is not None and second
        if (older.size, older.modified_at) == (newer.size, newer.modified_at):
            return older, newer


def test_an_older_version_is_read_whatever_its_time_says(place: Place, small_folder: Path) -> None:
    older, newer = of_one_second(place)
    with lakehouse(small_folder / "lake", QUIET, at=LATER) as house:
        assert house.take([newer]).files == 1
        assert house.take([newer]).files_unchanged == 1, "the newer one is spared"
        assert house.take([older]).records == 1
        all_once(house, [1, 2])


def test_the_newest_version_is_read_whatever_was_landed_of_older_ones(place: Place, small_folder: Path) -> None:
    older, newer = of_one_second(place)
    with lakehouse(small_folder / "lake", QUIET, at=LATER) as house:
        assert house.take([older]).records == 1
        assert house.take([newer]).records == 1
        all_once(house, [1, 2])
        assert house.take([newer]).files_unchanged == 1, "now it is spared"
        assert {file.source_uri for file in house.trace("a.json").files} == {
            newer.uri,
            f"{older.uri}?versionId={older.version_id}",
        }


def test_a_consumer_is_not_idle_before_the_queue_was_asked(place: Place, small_folder: Path) -> None:
    with lakehouse(small_folder / "lake", QUIET) as house:
        asked = consumer.Consumer(
            Queue(place.url), [place.landing], stores.head, house.journal, QueueFigures(), poll_seconds=1
        )
        assert not asked.is_idle()
        asked.start()
        wait_until(asked.is_idle)
        place.put("a.json", event(1))
        place.tell("a.json")
        wait_until(lambda: [landed.uri for landed in asked.objects()] == [f"{place.landing}/a.json"])
        assert not asked.is_idle()
        asked.landed(asked.objects())
        assert not asked.is_idle(), "the queue was not asked again yet"
        wait_until(asked.is_idle)
        asked.close()
        assert place.left() == 0
