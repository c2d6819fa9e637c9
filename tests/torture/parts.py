"""The parts of `make torture`: each does much of what the tests do a little of, and gives figures and what was wrong."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from concurrency.crowd import OTHERS, all_at_once, writer_against
from crashes.kills import kill_often
from crashes.matrix import Matrix
from crashes.operations import OPERATIONS
from crashes.power import lose_power, points
from crashes.processes import finish, run, start
from damage.at_random import damage
from environment.hostile import few_files, fill, little_memory, small_files, suffer, writes
from lakes import lakehouse, nested, put
from order import test_order
from stateful.test_model import Checked
from teeth.faults import FAULTS, ROOT, caught, run_test

_T = TypeVar("_T")


@dataclass
class Part:
    """What came of one part: figures by name, and what was wrong."""

    figures: dict[str, int | float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Amount:
    """How much of everything: 1 is all. At least one of each is done. `jobs` processes share what may be shared."""

    share: float = 1.0
    seed: int = 0
    jobs: int = 1

    def of(self, whole: int) -> int:
        """The part of a number."""
        return max(1, round(whole * self.share))

    def some(self, items: Sequence[_T]) -> list[_T]:
        """The part of a list, in its order, spread over all of it."""
        wanted = self.of(len(items))
        chosen = sorted(random.Random(self.seed).sample(range(len(items)), min(wanted, len(items))))
        return [items[each] for each in chosen]


def crash_points(folder: Path, amount: Amount) -> Part:
    """SIGKILL before and after every effect of every operation; another process goes on."""
    part = Part({"operations": len(OPERATIONS), "boundaries": 0, "killed": 0})
    for name in OPERATIONS:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        with ProcessPoolExecutor(amount.jobs, mp_context=get_context("spawn")) as workers:
            done = [workers.submit(_interrupted, name, own / str(job), amount, job) for job in range(amount.jobs)]
            told = [each.result() for each in done]
        numbers = {number for number, _, _ in told}
        part.wrong += [f"{name}: another number of boundaries each time: {numbers}"] if len(numbers) > 1 else []
        part.figures["boundaries"] += max(numbers)
        part.figures["killed"] += sum(killed for _, killed, _ in told)
        wrongs = [f"{name}: {each}" for _, _, wrong in told for each in wrong]
        part.wrong += wrongs
        # All of it takes an hour: whoever breaks it off has what was done.
        print(f"    {name}: {sum(killed for _, killed, _ in told)} of {max(numbers)}; {len(wrongs)} wrong", flush=True)
        for each in wrongs:
            print(f"    WRONG {each}", flush=True)
    return part


def _interrupted(name: str, folder: Path, amount: Amount, job: int) -> tuple[int, int, list[str]]:
    """One process's part of an operation's boundaries: how many there are, how many it killed at, and what was wrong."""
    matrix = Matrix(name, folder)
    own = amount.some(matrix.boundaries)[job :: amount.jobs]
    wrong = [each for boundary in own for each in matrix.interrupt(boundary, look=name in _LOOKED_AT)]
    return len(matrix.boundaries), len(own), wrong


# Of these, what a killed process leaves behind must verify before anybody goes on; the others are half done by nature.
_LOOKED_AT = ("run", "a later day", "maintain", "rollback", "resume")


def kills(folder: Path, amount: Amount) -> Part:
    """`watch` under load, killed at random moments."""
    outcome = kill_often(folder, amount.of(500), seed=amount.seed)
    wrong = outcome.problems + [f"a process ended by itself with {code}" for code in outcome.died]
    return Part({"SIGKILLs": outcome.kills, "objects": outcome.objects, "events": outcome.events}, wrong)


def power(folder: Path, amount: Amount) -> Part:
    """Power lost around every swap and every step of archiving."""
    part = Part({"losses of power": 0, "files and names lost or torn": 0})
    for name in ("run", "first run", "maintain", "rollback", "forget"):
        matrix = Matrix(name, folder / name.replace(" ", "-"))
        for seed in range(amount.of(3)):
            for boundary in amount.some(points(matrix)):
                lost, wrong = lose_power(matrix, boundary, seed)
                part.figures["losses of power"] += 1
                part.figures["files and names lost or torn"] += lost
                part.wrong += [f"{name}: {each}" for each in wrong]
    return part


def lost_answers(folder: Path, amount: Amount) -> Part:
    """Every outcome of a commit, as the tests have them."""
    done = run_test("tests/concurrency/test_outcomes.py", ROOT / "src", folder)
    passed = re.search(r"(\d+) passed", done.stdout)
    number = int(passed[1]) if passed else done.stdout.split("[100%]")[0].count(".")
    return Part({"outcomes": number}, [] if done.returncode == 0 else [done.stdout[-1000:]])


def crowds(folder: Path, amount: Amount) -> Part:
    """Eight processes at once, and a writer against each other operation."""
    part = Part({"runs of eight processes": 0, "objects beside another operation": 0, "times that was done": 0})
    for number in range(amount.of(10)):
        for same in (True, False):
            outcome = all_at_once(folder / f"{number}-{same}", same=same, files=40)
            part.figures["runs of eight processes"] += 1
            part.wrong += outcome.problems
    for name in OTHERS:
        outcome = writer_against(name, folder / name.replace(" ", "-"), objects=amount.of(200))
        part.figures["objects beside another operation"] += outcome.objects
        part.figures["times that was done"] += outcome.times
        part.wrong += [f"{name}: {each}" for each in outcome.problems]
    return part


def permutations(folder: Path, amount: Amount) -> Part:
    """Generated histories in generated arrangements: any order, split and duplication gives the same rows."""
    wanted, cases = amount.of(1000), 0
    hypothesis_settings.register_profile(
        "torture", deadline=None, derandomize=amount.seed == 0, database=None, suppress_health_check=list(HealthCheck)
    )
    hypothesis_settings.load_profile("torture")
    try:
        test_order._EXAMPLES = -(-wanted // (3 * test_order._TOGETHER))
        for play in (test_order._play_paths, test_order._play_landing, test_order._play_landing):
            cases += test_order._cases(folder, play, test_order.Settings(threads=1, batch_files=6))
    except AssertionError as error:
        return Part({"permutations": cases}, [str(error)[:2000]])
    return Part({"permutations": cases})


def hostile(folder: Path, amount: Amount) -> Part:
    """A full disk at every write, small files, few descriptors, little memory, a small real disk, a locked catalog."""
    matrix = Matrix("run", folder / "run")
    part = Part({"writes with a full disk": 0, "limits of file size, descriptors and memory": 0})
    for boundary in amount.some(writes(matrix)):
        part.wrong += fill(matrix, boundary)
        part.figures["writes with a full disk"] += 1
    limits: list[tuple[Callable[..., None], int]] = [
        *((small_files, size) for size in range(500, 40_000, 1500)),
        *((few_files, number) for number in range(8, 60, 3)),
        *((little_memory, more << 20) for more in range(8, 800, 24)),
    ]
    for limit, value in amount.some(limits):
        code, wrong = suffer(matrix, limit, value)
        ended = [each for each in wrong if not each.startswith("the process ended")]
        part.wrong += [f"{limit.__name__} {value}: {each}" for each in ended]
        part.figures["limits of file size, descriptors and memory"] += 1
        part.figures["of them ended the process"] = part.figures.get("of them ended the process", 0) + (code != 0)
    part.wrong += _small_disk(folder / "disk", amount, part) + _locked(folder / "locked", amount.of(61), part)
    return part


def _small_disk(folder: Path, amount: Amount, part: Part) -> list[str]:
    """A file system of its own, of so few blocks that it is full at another moment each time. Needs the right to mount."""
    folder.mkdir()
    wrong: list[str] = []
    for pages in amount.some(range(40, 260, 4)):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={pages * 4}k", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if mounted.returncode:
            part.figures["small disks"] = 0
            return wrong
        try:
            code = run(_run_one, str(folder))
            subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
            with lakehouse(folder / "lake") as house:
                house.run([str(folder / "in.json")])
                if house.verify(deep=True).problems or house.verify().accepted != 1:
                    wrong.append(f"a disk of {pages} pages (the process ended with {code}): {house.verify()}")
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        part.figures["small disks"] = part.figures.get("small disks", 0) + 1
    return wrong


def _run_one(folder: str) -> None:
    put(Path(folder) / "in.json", nested("A", "e1", "2025-10-01T00:00:00Z", engine_temp_celsius=120))
    with lakehouse(Path(folder) / "lake") as house:
        house.run([str(Path(folder) / "in.json")])


def _locked(folder: Path, seconds: int, part: Part) -> list[str]:
    """Another program holds the catalog's lock for longer than SQLite waits."""
    with lakehouse(folder / "lake") as house:
        first = put(folder / "first.json", nested("A", "e0", "2025-10-01T00:00:00Z"))
        house.run([str(first)])
    lock = sqlite3.connect(folder / "lake" / "catalog.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, lambda: lock.execute("ROLLBACK"))
    timer.start()
    code = finish(start(_run_one, str(folder)), seconds=600)
    timer.join()
    lock.close()
    part.figures["seconds with a locked catalog"] = seconds
    with lakehouse(folder / "lake") as house:
        verified = house.verify()
        return [] if (code, verified.ok, verified.accepted) == (0, True, 2) else [f"locked: {code}, {verified}"]


def damages(folder: Path, amount: Amount) -> Part:
    """Files damaged at random."""
    outcome = damage(folder, amount.of(1000), amount.seed)
    figures: dict[str, int | float] = {f"named: {kind}": number for kind, number in sorted(outcome.named.items())}
    figures |= {f"rows right all the same: {kind}": number for kind, number in sorted(outcome.harmless.items())}
    return Part(figures, outcome.wrong)


def walks(folder: Path, amount: Amount) -> Part:
    """Random walks through all operations beside the model."""
    number, steps = amount.of(150), 30
    given: Any = hypothesis_settings(
        max_examples=number, stateful_step_count=steps, deadline=None, derandomize=amount.seed == 0, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        run_state_machine_as_test(Checked, settings=given)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
        return Part({"walks": number}, [f"{type(error).__name__}: {error}"[:2000]])
    return Part({"walks": number, "steps at the most": number * steps})


def teeth(folder: Path, amount: Amount) -> Part:
    """Every seeded fault."""
    part = Part({"faults": 0, "caught": 0})
    for number, name in enumerate(amount.some(list(FAULTS))):
        own = folder / str(number)
        own.mkdir()
        bites = caught(FAULTS[name], own)
        part.figures["faults"] += 1
        part.figures["caught"] += bites
        part.wrong += [] if bites else [f"not caught: {name}"]
    tests = sorted({FAULTS[name].caught_by for name in amount.some(list(FAULTS))})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    part.wrong += [] if done.returncode == 0 else [f"without any fault: {done.stdout[-1500:]}"]
    return part


PARTS: dict[str, Callable[[Path, Amount], Part]] = {
    "crash points": crash_points,
    "kills": kills,
    "power": power,
    "lost answers": lost_answers,
    "crowds": crowds,
    "permutations": permutations,
    "hostile": hostile,
    "damage": damages,
    "model": walks,
    "teeth": teeth,
}


def timed(part: Callable[[Path, Amount], Part], folder: Path, amount: Amount) -> tuple[Part, float]:
    """Do a part; gives it with its seconds. What it raises is wrong, too."""
    began = time.monotonic()
    try:
        done = part(folder, amount)
    except Exception as error:  # noqa: BLE001  (the other parts go on)
        done = Part({}, [f"{type(error).__name__}: {error}"])
    return done, time.monotonic() - began
