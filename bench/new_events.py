"""New events into a full lake and into an empty one: the work follows what is new, not what is there."""

from __future__ import annotations

from figures import BenchError, Section, Target
from inputs import Spec, fleets
from measure import Measured
from session import Bench, called, figure, steps

NEW = 1000
MOST_TIMES = 2.0


def new_events(bench: Bench) -> Section:
    """The same files into both, each by one call in a process that has run before."""
    lake = bench.full_lake()
    cars = fleets(bench.events)[0].cars
    source = bench.input(Spec(events=NEW * bench.runs, files=bench.runs, cars=cars, follows=True))
    full: list[Measured] = []
    empty: list[Measured] = []
    for path in source.paths:
        new = bench.new_lake()
        bench.say(f"{NEW:,} events into an empty lake, then into the full one")
        empty.append(called(bench.process(new, [path], "--prepared")))
        full.append(called(bench.process(lake, [path], "--prepared")))
        bench.drop(new)
    for runs in (full, empty):
        written = steps(runs[-1])["silver_car_telemetry"]["rows_out"]
        if written != NEW:
            raise BenchError(f"{NEW} new events wrote {written} rows of silver.")
    lines = [
        figure(f"{NEW:,} events into an empty lake", empty, empty, peak=False, details=steps),
        figure(
            f"{NEW:,} events into {bench.events:,}", full, empty, Target("ratio", MOST_TIMES), peak=False, details=steps
        ),
    ]
    title = f"{NEW:,} new events of known cars, one file, the call alone"
    return Section(
        "new-events", title, "the same into an empty lake", lines, [_rows(full[-1], "full"), _rows(empty[-1], "empty")]
    )


def _rows(run: Measured, words: str) -> str:
    parts = [f"{table} {step['rows_out']:,}" for table, step in steps(run).items()]
    return f"rows written, {words} lake: " + ", ".join(parts)
