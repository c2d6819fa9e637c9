"""Faults that are put in on purpose are caught. All of them: `make torture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from teeth.faults import FAULTS, ROOT, caught, run_test

# Quick ones, of three kinds: the commit, the one rule, the disk.
_SHOWN = (
    "a commit is not guarded by its base",
    "rows that went do not touch their keys",
    "a folder's new entries are not synced",
)


def test_every_fault_is_an_edit_of_the_source_as_it_is() -> None:
    assert len(FAULTS) >= 20
    assert [name for name, fault in FAULTS.items() if not fault.fits()] == []
    tests = {fault.caught_by.partition("::")[0] for fault in FAULTS.values()}
    assert [test for test in tests if not (ROOT / test).exists()] == []


@pytest.mark.parametrize("name", _SHOWN)
def test_a_fault_is_caught(tmp_path: Path, name: str) -> None:
    assert caught(FAULTS[name], tmp_path)


def test_without_a_fault_nothing_is_caught(tmp_path: Path) -> None:
    done = run_test(FAULTS[_SHOWN[1]].caught_by, ROOT / "src", tmp_path)
    assert done.returncode == 0, done.stdout
