"""What other processes do to a lake while a car is forgotten: land it again and again, or die at a named moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carlake.lakehouse import Lakehouse
from lakes import flat, lakehouse, put


def land_on(lake: str, car: str, begun: str, stop: str) -> int:
    """Land records of the car, each in an object of its own, until a file says to stop; gives their number."""
    number = 0
    with lakehouse(Path(lake)) as house:
        while not Path(stop).exists():
            at = f"2025-{1 + number % 9:02}-{1 + number // 9 % 28:02}T00:00:00Z"
            put(
                house.lake.landing / f"{car}-{os.getpid()}-{number}.json",
                flat(car, at, current_mileage_km=os.getpid()),
                flat("OTHERCAR1", at),
            )
            report = house.run()
            assert report.status == "succeeded", report
            number += 1
            Path(begun).touch()
    return number


def forget_and_die(lake: str, car: str, moment: str, times: int) -> None:
    """Forget the car, and be killed right after the so-manieth time that the moment has passed."""
    house = lakehouse(Path(lake))
    at_moment(house, moment, times, lambda: os.kill(os.getpid(), signal.SIGKILL))
    house.forget(car)


def at_moment(house: Lakehouse, moment: str, times: int, act: Callable[[], object]) -> None:
    """Do something right after a commit of a table (by its name), a file's removal, or an object's rewriting."""
    from carlake.upkeep.erasure import files as erased_files
    from carlake.upkeep.maintenance.files import TableFiles

    left = [times]

    def after(function: Any, counts: Callable[..., bool]) -> Any:
        def wrapped(*given: Any, **named: Any) -> Any:
            answer = function(*given, **named)
            if counts(*given):
                left[0] -= 1
                if left[0] == 0:
                    act()
            return answer

        return wrapped

    if moment == "removed":
        TableFiles.remove = after(TableFiles.remove, lambda *given: True)  # type: ignore[method-assign]
    elif moment == "rewritten":
        erased_files.rewrite_object = after(erased_files.rewrite_object, lambda *given: True)
    else:
        house.catalog.commit_table = after(house.catalog.commit_table, lambda table, *rest: table.name()[-1] == moment)
