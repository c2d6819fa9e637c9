"""A table's circuit: what it counts, how its waits grow, and that all processes of a lake share it."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from carlake.refresh.circuits import Circuit, Circuits, read
from lakes import NOON

TABLE = "gold_car_current_state"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(tmp_path: Path, clock: Clock) -> Circuits:
    return Circuits(tmp_path / "circuits", clock, after=3, longest_seconds=60)


def fail(circuits: Circuits, clock: Clock, times: int = 1, error: str = "no space") -> Circuit:
    for _ in range(times):
        clock.wait(1)
        found = circuits.failed(TABLE, error, "run-1", clock.now)
    return found


def kinds(circuits: Circuits) -> list[str]:
    return [turned.kind for turned in circuits.turned()]


def test_it_opens_after_three_failures_in_a_row_and_closes_with_a_success(circuits: Circuits, clock: Clock) -> None:
    assert circuits.failing() == [] and circuits.may_try(TABLE)
    fail(circuits, clock, 2)
    assert kinds(circuits) == [] and circuits.of(TABLE).state(clock.now) == "closed"  # type: ignore[union-attr]
    opened = fail(circuits, clock)
    assert kinds(circuits) == ["opened"] and opened.failures == 3 and opened.state(clock.now) == "open"
    assert opened.since == NOON + timedelta(seconds=1) and opened.last == clock.now and opened.error == "no space"
    fail(circuits, clock, 2)
    assert kinds(circuits) == [], "it opens once"
    circuits.succeeded(TABLE)
    assert kinds(circuits) == ["closed"] and circuits.failing() == [] and circuits.may_try(TABLE)
    circuits.succeeded(TABLE)
    assert kinds(circuits) == []


def test_a_success_between_begins_the_count_anew(circuits: Circuits, clock: Clock) -> None:
    fail(circuits, clock, 2)
    circuits.succeeded(TABLE)
    assert fail(circuits, clock, 2).opened_at is None and kinds(circuits) == []


def test_waits_double_up_to_the_longest(circuits: Circuits, clock: Clock) -> None:
    waits = [(found.retry_at - found.last).total_seconds() for found in (fail(circuits, clock) for _ in range(12))]
    assert all(0.75 * 2**n <= wait <= 2**n for n, wait in enumerate(waits[:6])), waits
    assert all(45 <= wait <= 60 for wait in waits[6:]), waits
    assert len({round(wait, 6) for wait in waits[6:]}) > 1, "jitter: tables that failed together part"


def test_a_table_that_waits_is_not_tried_until_its_time(circuits: Circuits, clock: Clock) -> None:
    found = fail(circuits, clock)
    assert not circuits.may_try(TABLE), "one failure, too, is not tried again at once"
    clock.now = found.retry_at
    assert circuits.may_try(TABLE)


def test_half_open_one_process_tries(circuits: Circuits, clock: Clock, tmp_path: Path) -> None:
    other = Circuits(tmp_path / "circuits", clock, after=3, longest_seconds=60)
    found = fail(circuits, clock, 3)
    assert not circuits.may_try(TABLE) and not other.may_try(TABLE)
    clock.now = found.retry_at
    assert circuits.of(TABLE).state(clock.now) == "half-open"  # type: ignore[union-attr]
    assert [circuits.may_try(TABLE), other.may_try(TABLE), circuits.may_try(TABLE)] == [True, False, False]
    clock.wait(60)
    assert other.may_try(TABLE), "the one that tried may have died"


def test_failures_side_by_side_are_one(circuits: Circuits, clock: Clock, tmp_path: Path) -> None:
    others = [Circuits(tmp_path / "circuits", clock, after=3, longest_seconds=60) for _ in range(8)]
    began = clock.now
    for other in others:
        clock.wait(0.01)
        other.failed(TABLE, "no space", "run-1", began)
    assert circuits.of(TABLE).failures == 1  # type: ignore[union-attr]


def test_a_clock_that_was_set_back_makes_no_table_wait_for_ever(circuits: Circuits, clock: Clock) -> None:
    fail(circuits, clock, 12)
    clock.wait(-86_400)
    assert circuits.may_try(TABLE)


def test_one_process_of_many_opens_it(tmp_path: Path) -> None:
    """Real processes, real files: eight count to three together, and of all that happens one says "opened"."""
    script = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path
from carlake.refresh.circuits import Circuits
circuits = Circuits(Path({str(tmp_path / "circuits")!r}), lambda: datetime.now(UTC), after=20)
for _ in range(10):
    circuits.failed({TABLE!r}, "no space", "run-1", datetime.now(UTC))
print(sum(turned.kind == "opened" for turned in circuits.turned()))
"""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: subprocess.check_output([sys.executable, "-c", script]), range(8)))
    assert sum(int(text) for text in told) == 1
    found = read(tmp_path / "circuits" / f"{TABLE}.json")
    assert found is not None and 20 <= found.failures <= 80 and found.opened_at is not None
    assert [file.name for file in (tmp_path / "circuits").iterdir() if file.suffix == ".tmp"] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"table": "gold_car_current_state"}',
        b"\xff\xfe",
        b'{"table": "gold_car_current_state", "failures": "many", "since": 1, "last": 2, "error": 3, "run_id": 4, '
        b'"retry_at": 5, "opened_at": null}',
    ],
)
def test_a_file_that_is_no_circuit_counts_as_closed(circuits: Circuits, clock: Clock, content: bytes) -> None:
    fail(circuits, clock, 3)
    (file,) = (path for path in (circuits._folder).iterdir() if path.suffix == ".json")
    file.write_bytes(content)
    assert circuits.failing() == [] and circuits.may_try(TABLE)
    assert fail(circuits, clock).failures == 1 and json.loads(file.read_bytes())["failures"] == 1


def test_where_nothing_can_be_written_a_process_backs_off_by_itself(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "circuits").write_text("a file where the folder should be")
    circuits = Circuits(tmp_path / "circuits", clock, after=3, longest_seconds=60)
    found = fail(circuits, clock, 3)
    assert found.failures == 3 and kinds(circuits) == ["opened"] and circuits.failing() == [found]
    assert not circuits.may_try(TABLE)
    clock.now = found.retry_at
    assert [circuits.may_try(TABLE), circuits.may_try(TABLE)] == [True, False]
    circuits.succeeded(TABLE)
    assert kinds(circuits) == ["closed"] and circuits.failing() == []
