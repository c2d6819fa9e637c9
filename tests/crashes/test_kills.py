"""`watch` is killed at random moments while files keep coming. Five hundred times: `make torture`."""

from __future__ import annotations

from pathlib import Path

from crashes.kills import kill_often


def test_watches_that_are_killed_again_and_again(small_folder: Path) -> None:
    outcome = kill_often(small_folder, kills=10, longest_seconds=0.8)
    assert (outcome.kills, outcome.problems) == (10, [])
    assert not outcome.died
    assert outcome.objects > 50
    assert outcome.events > 50
