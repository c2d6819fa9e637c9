"""Processes that work on one lake in a store at once, that are killed, and a store that fails."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path
from typing import Any

import pytest

from carlake.storage import places
from crashes.processes import CHILDREN, finish, killed, start
from lakes import TODAY, expected, held
from servers.faults import Fault, Proxy, Request, usual
from servers.versitygw import Server
from warehouse.lake_of_store import StoreLake, landed, trip

_WRITERS, _OBJECTS, _KILLS = 3, 4, 4


def taking_in(lake: StoreLake, barrier: Any) -> None:
    """In a child: run the lake when all are ready."""
    barrier.wait(120)
    with lake.open() as house:
        assert house.run(today=TODAY).status == "succeeded"


def running_on(lake: StoreLake) -> None:
    """In a child, to be killed: run the lake again and again."""
    while True:
        with lake.open(compact_files=2, keep_snapshots=5, reader_grace_minutes=0) as house:
            house.run(today=TODAY)


def in_words(lake: StoreLake, records: list[str]) -> list[str]:
    """What is wrong with the lake in the end, which must hold these records and nothing else."""
    with lake.open() as house:
        house.run(today=TODAY)
        problems = [str(problem) for problem in house.verify(deep=True).problems]
        if held(house) != expected(landed(*records), TODAY):
            problems.append("the tables are not what the model gives")
    return problems


def test_processes_that_land_the_same_at_once_lose_and_double_nothing(lake: StoreLake) -> None:
    records = [trip(number, version) for number in range(8) for version in range(2)]
    for number in range(_OBJECTS):
        lake.land(f"{number}.json", *records[number::_OBJECTS])
    barrier = CHILDREN.Barrier(_WRITERS)
    # Each on a machine of its own: no lock and no lease is shared.
    apart = [StoreLake(lake.uri, lake.endpoint, _machine(lake.folder, number)) for number in range(_WRITERS)]
    ended = [finish(child) for child in [start(taking_in, each, barrier) for each in apart]]
    assert ended == [0] * _WRITERS
    assert in_words(lake, records) == []
    assert lake.below("landing") == []


def test_a_run_that_is_killed_at_any_moment_is_gone_on_with(lake: StoreLake) -> None:
    chance, records, died = random.Random(7), list[str](), list[int]()
    for kill in range(_KILLS):
        for number in range(2):
            records.append(trip(2 * kill + number, chance.randrange(3)))
            lake.land(f"{kill}-{number}.json", records[-1])
        child = start(running_on, lake)
        time.sleep(chance.uniform(0.3, 2.5))
        child.kill()
        died.append(finish(child))
    assert all(killed(code) for code in died)
    assert in_words(lake, records) == []


def test_a_store_that_fails_now_and_then_is_survived(lake: StoreLake, proxy: Proxy) -> None:
    records = [trip(number, version) for number in range(6) for version in range(2)]
    proxy.faults = usual(0.05)
    with lake.open() as house:
        for number in range(3):
            lake.land(f"{number}.json", *records[number::3])
            assert house.run(today=TODAY).status == "succeeded"
    # A second process, which knows nothing of what the first has kept in memory.
    with lake.open() as house:
        assert house.verify(deep=True).ok
    assert sum(proxy.befell.values()) > 5
    proxy.faults = ()
    assert in_words(lake, records) == []


def test_answers_that_are_lost_after_the_effect_double_nothing(lake: StoreLake, proxy: Proxy) -> None:
    records = [trip(number) for number in range(4)]
    with lake.open() as house:
        lake.land("a.json", *records)
        proxy.faults = (Fault("lost", 0.3, operations=("PutObject",), path="/warehouse/"),)
        assert house.run(today=TODAY).status == "succeeded"
        assert proxy.befell["lost", "PutObject"] > 3
    proxy.faults = ()
    assert in_words(lake, records) == []


def test_a_data_file_that_goes_before_its_commit_is_never_committed(
    lake: StoreLake, server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = itertools.count(0, 3600)
    monkeypatch.setattr(places, "_clock", lambda: float(next(hours)))  # the writer stood still for long
    state = f"{lake.uri}/warehouse/carlake/gold_car_current_state"
    gone: list[str] = []

    def before(request: Request) -> None:
        if not gone and request.method == "PUT" and "/gold_car_current_state/metadata/" in request.path:
            direct = lake.at(server.endpoint).places
            gone.extend(found.path for found in direct.below(f"{state}/data"))
            direct.remove(gone)

    records = [trip(number) for number in range(4)]
    with lake.open() as house:
        lake.land("a.json", *records)
        proxy.before = before
        assert house.run(today=TODAY).status == "succeeded"
    assert gone
    assert in_words(lake, records) == []


def test_a_store_that_is_away_leaves_everything_as_it_was(lake: StoreLake, proxy: Proxy) -> None:
    options = {**lake.options, "max_retries": "1", "retry_seconds": "1"}
    with lake.open(store_properties=options) as house:
        lake.land("a.json", trip(1))
        proxy.faults = (Fault("refused", operations=("PutObject",), path="/warehouse/"),)
        report = house.run(today=TODAY)
        assert report.status == "failed"
        assert "cannot be reached" in report.steps[0].error
    proxy.faults = ()
    assert len(lake.below("landing")) == 1
    assert in_words(lake, [trip(1)]) == []


def _machine(folder: Path, number: int) -> Path:
    """A folder for one machine; the catalog's database is the same."""
    own = folder / f"machine-{number}"
    own.mkdir()
    (own / "catalog.db").symlink_to(folder / "catalog.db")
    return own
