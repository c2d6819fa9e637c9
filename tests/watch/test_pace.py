"""Batches: a lone object at once, gathering while more keep coming, growing while a backlog stays."""

from __future__ import annotations

from datetime import UTC, datetime

from carlake.landing.landed import LandedObject
from carlake.watch.pace import FIRST_FILES, Pace


def test_the_first_object_after_a_quiet_time_is_taken_at_once() -> None:
    pace = Pace(0.5, 10_000)
    assert pace.gather_until(100.0, 1) == 100.0
    pace.done(100.2, 0.2, left=0)
    assert pace.gather_until(101.0, 1) == 101.0


def test_objects_that_keep_coming_are_gathered_for_what_the_objective_leaves_after_the_work() -> None:
    pace = Pace(0.5, 10_000)
    pace.done(100.2, 0.2, left=0)
    assert pace.gather_until(100.3, 1) == 100.3 + 0.5 - 0.2
    pace.done(101.0, 0.9, left=0)
    assert pace.gather_until(101.1, 1) < 101.1 + 0.5 - 0.2, "slower work leaves less time to gather"
    for _ in range(20):
        pace.done(102.0, 2.0, left=0)
    assert pace.gather_until(102.1, 1) < 102.1, "work that takes longer than the objective leaves none"


def test_a_full_batch_is_not_waited_for() -> None:
    pace = Pace(60.0, 10_000)
    pace.done(100.0, 0.2, left=0)
    assert pace.gather_until(100.1, FIRST_FILES - 1) > 150
    assert pace.gather_until(100.1, FIRST_FILES) == 100.1


def test_batches_grow_while_a_backlog_stays_and_shrink_when_it_is_gone() -> None:
    pace = Pace(0.2, 3000)
    sizes = []
    for left in (9000, 5000, 1000, 1, 0, 0, 0, 0):
        sizes.append(pace.most_files)
        pace.done(0.0, 0.2, left)
    assert sizes == [500, 1000, 2000, 3000, 3000, 1500, 750, 500]


def test_a_limit_of_the_settings_holds_for_the_first_batch_too() -> None:
    pace = Pace(0.2, 7)
    assert pace.most_files == 7
    pace.done(0.0, 0.1, left=100)
    assert pace.most_files == 7


def test_two_versions_of_one_name_are_never_in_one_batch() -> None:
    at = datetime(2025, 11, 1, tzinfo=UTC)
    older, newer = (LandedObject("s3://fleet/a", 1, at, version) for version in ("v1", "v2"))
    other = LandedObject("s3://fleet/b", 1, at, "v1")
    pace = Pace(0.5, 10_000)
    batch = pace.batch([older, newer, other], lambda landed: 0.0, 100)
    assert batch == [older, other]
    assert pace.batch([newer], lambda landed: 0.0, 100) == [newer]


def test_a_batch_has_the_objects_seen_first_up_to_its_limits_in_the_order_of_the_listing() -> None:
    at = datetime(2025, 11, 1, tzinfo=UTC)
    a, b, c = (LandedObject(name, 10, at, "v") for name in "abc")
    seen = {"a": 3.0, "b": 1.0, "c": 2.0}
    pace = Pace(0.5, 10_000)
    assert pace.batch([a, b, c], lambda landed: seen[landed.uri], 30) == [a, b, c]
    assert pace.batch([a, b, c], lambda landed: seen[landed.uri], 20) == [b, c]
    assert pace.batch([a, b, c], lambda landed: seen[landed.uri], 1) == [b], "at least one"
    assert Pace(0.5, 2).batch([a, b, c], lambda landed: seen[landed.uri], 100) == [b, c]
