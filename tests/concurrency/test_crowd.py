"""Eight processes at once; and one that lands while another does what changes tables without new events."""

from __future__ import annotations

from pathlib import Path

import pytest

from concurrency.crowd import OTHERS, all_at_once, writer_against


@pytest.mark.parametrize("same", [True, False])
def test_eight_processes(small_folder: Path, same: bool) -> None:
    outcome = all_at_once(small_folder, same=same, files=8)
    assert (outcome.times, outcome.problems) == (8, [])


@pytest.mark.parametrize("name", OTHERS)
def test_a_writer_against_another_operation(small_folder: Path, name: str) -> None:
    """For longer: `make torture`."""
    outcome = writer_against(name, small_folder, objects=6)
    assert outcome.problems == []
    assert outcome.times >= 1
