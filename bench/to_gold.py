"""Landing to gold: one big file into an empty lake, and whether memory stays when there is three times as much."""

from __future__ import annotations

import shutil
from dataclasses import replace

from figures import Figure, Section, Target, memory
from inputs import Input, fleet
from measure import Measured
from session import Bench, figure, steps, steps_note

MOST_TIMES, MOST_MEMORY = 3.0, 2e9
SAME_MEMORY = 1.25  # "the same": what differs from run to run anyway
LARGER = 3


def to_gold(bench: Bench, larger: bool) -> Section:
    """The floor, carlake, the floor, and so on: what else the machine does then weighs on both.

    larger  measure three times the events too
    """
    source = bench.input(fleet(bench.events))
    floors, runs = _interleaved(bench, source, bench.runs)
    own = figure("landing to gold", runs, floors, Target("ratio", MOST_TIMES), details=steps)
    lines = [
        figure("floor: DuckDB, NDJSON to Parquet", floors, floors),
        own,
        Figure("  its memory", peak_bytes=own.peak_bytes, target=Target("peak_bytes", MOST_MEMORY)),
    ]
    notes = [steps_note(runs[-1])]
    if larger:
        lines += _larger(bench, own, notes)
    title = (
        f"Landing to gold: {bench.events:,} nested events, {memory(source.size)} of NDJSON in one file, whole process"
    )
    return Section("to-gold", title, "the floor, in the same run", lines, notes)


def _interleaved(bench: Bench, source: Input, rounds: int) -> tuple[list[Measured], list[Measured]]:
    floors, runs = [bench.floor(source)], []
    for _ in range(rounds):
        lake = bench.new_lake()
        runs.append(bench.landed(lake, source))
        if source.events == bench.events:
            bench.keep(lake)
        else:
            bench.drop(lake)
        floors.append(bench.floor(source))
    return floors, runs


def _larger(bench: Bench, own: Figure, notes: list[str]) -> list[Figure]:
    spec = fleet(LARGER * bench.events)
    # The input, what the lake makes of it, and room to work.
    room = 2 * LARGER * 1800 * bench.events
    if shutil.disk_usage(bench.out).free < room:
        notes.append(f"{spec.events:,} events left out: that needs {memory(room)} of free disk")
        return []
    source = bench.input(spec)
    floors, runs = _interleaved(bench, source, 1)
    line = figure(f"landing to gold, {spec.events:,} events", runs, floors, Target("ratio", MOST_TIMES), details=steps)
    line = replace(line, peak_ratio=(line.peak_bytes or 0) / (own.peak_bytes or 1))
    return [
        figure(f"floor, {spec.events:,} events", floors, floors),
        line,
        replace(
            Figure("  its memory", peak_bytes=line.peak_bytes, peak_ratio=line.peak_ratio),
            target=Target("peak_ratio", SAME_MEMORY),
        ),
    ]
