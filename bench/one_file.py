"""One file into a full lake: what a user waits for, in a process that is warm and in one that starts."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from figures import Section, Target
from inputs import Spec, fleets
from measure import Measured, measured
from session import Bench, called, figure, steps, steps_note

ROUNDS = 5
MOST_CALL, MOST_RUN, MOST_HELP = 0.4, 1.5, 0.25
QUERY = "SELECT count(*) FROM gold_car_current_state"


def one_file(bench: Bench, calls: int) -> Section:
    """Files of one event each, from cars that the lake knows: a warm process first, then processes in turn."""
    lake = bench.full_lake()
    rounds = min(ROUNDS, calls)
    count, cars = 1 + calls + rounds, fleets(bench.events)[0].cars
    files = bench.input(Spec(events=count, files=count, cars=cars, follows=True))
    waiting = iter(files.paths)
    warm = bench.process(lake, list(islice(waiting, 1 + calls)), "--each")
    first, later = called(warm, 0), [called(warm, number) for number in range(1, 1 + calls)]
    runs = _processes(bench, lake, list(waiting))
    yardstick = runs["imports"]
    slowest = max(later, key=lambda call: call.seconds)
    lines = [
        figure("python -c pass", runs["python"], yardstick),
        figure("import pyiceberg.catalog.sql, duckdb", yardstick, yardstick),
        figure(
            f"library call, warm, median of {calls}",
            later,
            yardstick,
            Target("seconds", MOST_CALL),
            peak=False,
            details=steps,
        ),
        figure("  the slowest of them", [slowest], yardstick, Target("seconds", MOST_CALL), peak=False),
        figure("  the first call of the process", [first], yardstick, peak=False),
        figure("carlake run FILE", runs["run"], yardstick, Target("seconds", MOST_RUN)),
        figure("carlake --help", runs["help"], yardstick, Target("seconds", MOST_HELP)),
        figure("carlake query", runs["query"], yardstick),
    ]
    title = f"One file of one event into a lake of {bench.events:,}: all tables"
    return Section("one-file", title, "the imports alone, in the same run", lines, [steps_note(warm) + " (last call)"])


def _processes(bench: Bench, lake: Path, files: list[Path]) -> dict[str, list[Measured]]:
    carlake = str(Path(sys.executable).with_name("carlake"))
    runs: dict[str, list[Measured]] = {}
    for file in files:
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "imports": [sys.executable, "-c", "import pyiceberg.catalog.sql, duckdb"],
            "run": [carlake, "run", str(file), "--lake", str(lake)],
            "help": [carlake, "--help"],
            "query": [carlake, "query", QUERY, "--lake", str(lake)],
        }
        for name, command in commands.items():
            runs.setdefault(name, []).append(measured(command, {"CARLAKE_THREADS": str(bench.threads)}))
    bench.say("  " + ", ".join(f"{name} {min(run.seconds for run in done):.3f} s" for name, done in runs.items()))
    return runs
