"""A process that is killed at any commit of rollback or resume: giving the command again finishes it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver

import pytest

from carlake.upkeep.releases.returning import PIN
from carlake.upkeep.releases.rollback import unfinished
from lakes import heads, iceberg
from releases.work import resume_and_die, rollback_and_die

from .conftest import DERIVED, Ran
from .test_rollback import converged

COMMITS = 2 * len(DERIVED)
SERVER = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    """A server that has loaded everything once: each process it forks begins at once, and dies alone."""
    SERVER.set_forkserver_preload(["releases.work"])
    with pytest.MonkeyPatch.context() as patched:
        # The server starts from the environment alone, and would ignore that it cannot load a module.
        patched.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def killed(work: Callable[..., None], *given: object) -> None:
    """Do it in another process, which must die of its SIGKILL."""
    process = SERVER.Process(target=work, args=given)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "before"),
    [(1, True), (len(DERIVED) + 1, True), *((number, False) for number in range(1, COMMITS + 1))],
)
def test_a_rollback_that_is_killed_is_finished_by_the_same_command(ran: Ran, number: int, before: bool) -> None:
    killed(rollback_and_die, str(ran.house.lake.root), ran.runs[2], number, before)
    holding = number if not before else number - 1
    assert len(ran.house.holds()) == min(holding, len(DERIVED)), "all are held before one moves"
    assert unfinished(ran.house.context()) == (ran.runs[2] if 0 < number - before < COMMITS else None)
    now = heads(ran.house)
    report = ran.house.run()
    assert report.status == "succeeded"
    assert all(heads(ran.house)[name] == now[name] for name in ran.house.holds()), "what is held stays"
    done = ran.house.rollback(ran.runs[2])
    assert done.done and ran.now == ran.states[2]
    assert unfinished(ran.house.context()) is None
    assert ran.house.verify().problems == ()
    assert all(PIN not in iceberg(ran.house, name).metadata.refs for name in DERIVED)
    ran.house.resume()
    converged(ran)


@pytest.mark.parametrize("number", [3, 7])
def test_a_rollback_that_is_killed_can_be_given_up(ran: Ran, number: int) -> None:
    killed(rollback_and_die, str(ran.house.lake.root), ran.runs[1], number, False)
    ran.house.resume()
    assert ran.house.holds() == {}
    assert all(PIN not in iceberg(ran.house, name).metadata.refs for name in DERIVED)
    converged(ran)


@pytest.mark.parametrize("number", range(1, len(DERIVED)))
def test_a_resume_that_is_killed_is_finished_by_the_same_command(ran: Ran, number: int) -> None:
    ran.house.rollback(ran.runs[1])
    killed(resume_and_die, str(ran.house.lake.root), number)
    assert set(ran.house.holds()) == set(DERIVED[number:])
    assert unfinished(ran.house.context()) is None, "what was begun is a resume"
    assert ran.house.run().status == "succeeded"
    assert set(ran.house.resume().tables) == set(DERIVED[number:])
    converged(ran)
    assert ran.now == ran.states[4]
