"""Rollback and resume beside a process that runs without pause."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from lakes import MODIFIED, expected, held
from releases.work import records, run_until

from .conftest import DERIVED, RUNS, Ran

SPAWN = multiprocessing.get_context("spawn")


def test_a_rollback_holds_and_returns_while_others_run(ran: Ran) -> None:
    inbox = ran.house.lake.root.parent / "racing"
    with SPAWN.Manager() as manager, ProcessPoolExecutor(1, SPAWN) as executor:
        begun, stop = manager.Event(), manager.Event()
        running = executor.submit(run_until, str(ran.house.lake.root), str(inbox), begun, stop)
        try:
            assert begun.wait(120)
            for number in (3, 1):
                done = ran.house.rollback(ran.runs[number])
                assert done.done and set(ran.house.holds()) == set(DERIVED)
                assert ran.now == ran.states[number]
                begun.clear()
                assert begun.wait(120), "landing goes on"
                assert ran.now == ran.states[number], "nobody redoes the work"
                assert ran.house.verify().problems == ()
                ran.house.resume()
                begun.clear()
                assert begun.wait(120)
        finally:
            stop.set()
        files, wrong = running.result(timeout=120)
    assert wrong == []
    assert ran.house.run().status == "succeeded"
    landed = [record for batch in RUNS for record in batch] + [r for n in range(files) for r in records(n)]
    assert held(ran.house) == expected([(record, MODIFIED) for record in landed])
    assert ran.house.verify().problems == ()
