"""`carlake watch --queue` as processes: several on one queue, an end at any moment, and a clean one."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from carlake.journal import DONE, WATCH_BEGUN
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from lakes import lakehouse
from queues.conftest import Place
from watch.running import all_once, event, process, until_line, wait_until

FAST = {"CARLAKE_THREADS": "1", "CARLAKE_LIST_SECONDS": "1", "CARLAKE_QUEUE_LIST_SECONDS": "3600"}


@pytest.fixture
def house(small_folder: Path) -> Lakehouse:
    return lakehouse(small_folder / "lake", Settings(threads=1))


def watch(house: Lakehouse, place: Place, *words: object, **env: str) -> Any:
    """A watch as a process of its own."""
    return process("watch", place.landing, "--queue", place.url, "--lake", house.lake.root, *words, env=FAST | env)


def put(place: Place, numbers: range) -> None:
    """Objects, of which the queue is told."""
    for number in numbers:
        place.put(f"{number}.json", event(number), event(number + 1000))
        place.tell(f"{number}.json")


def test_two_watches_of_one_queue_share_it_and_each_event_is_there_once(house: Lakehouse, place: Place) -> None:
    with house, ExitStack() as held:
        watches = [held.enter_context(watch(house, place)) for _ in range(2)]
        for each in watches:
            until_line(each.stderr, WATCH_BEGUN)
        put(place, range(30))
        wait_until(lambda: place.left() == 0)
        for each in watches:
            each.send_signal(signal.SIGTERM)
        for each in watches:
            _, log = each.communicate(timeout=60)
            lines = [json.loads(line) for line in log.splitlines()]
            assert each.returncode == 0
            assert lines[-1]["reason"] == "SIGTERM"
            assert {line["level"] for line in lines} <= {"info"}, "nobody fails since another is at work"
        all_once(house, [*range(30), *range(1000, 1030)])
        assert place.dead() == []


def test_a_watch_that_is_killed_leaves_its_messages_to_the_next(house: Lakehouse, place: Place) -> None:
    with house:
        with watch(house, place.hold(3).patient(), CARLAKE_BATCH_FILES="4") as killed:
            until_line(killed.stderr, WATCH_BEGUN)
            put(place, range(20))
            until_line(killed.stderr, DONE)
            killed.kill()
        assert killed.returncode == -signal.SIGKILL
        assert place.left() > 0
        with watch(house, place, CARLAKE_BATCH_FILES="4") as after:
            wait_until(lambda: place.left() == 0)
            after.send_signal(signal.SIGTERM)
            _, log = after.communicate(timeout=60)
            assert after.returncode == 0, log
        all_once(house, [*range(20), *range(1000, 1020)])
        assert place.dead() == []


def test_a_mistake_is_told_and_ends_it(house: Lakehouse, place: Place) -> None:
    words = ["watch", place.landing, "--lake", house.lake.root, "--queue", f"{place.url}-not-there"]
    with process(*words, env=FAST) as wrong:
        _, log = wrong.communicate(timeout=60)
    assert wrong.returncode == 1 and "There is no queue" in log and "Traceback" not in log
