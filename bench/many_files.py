"""Many small files against the same events in one file, by path and from the landing folder."""

from __future__ import annotations

from typing import Any

from figures import Section, Target
from inputs import Spec, cars_of
from measure import Measured
from session import Bench, called, figure, steps

MOST_TIMES = 2.0


def many_files(bench: Bench) -> Section:
    """Each figure is one run into a lake of empty tables, so that neither imports nor new tables blur the ratio.

    The same records both ways: no duplicates, since a file that repeats another's content is not read at all.
    """
    shares: dict[str, Any] = {"duplicates": 0.0, "bad": 0.0, "corrections": 0.0, "stale": 0.0}
    one, many = (
        bench.input(Spec(events=bench.files, files=files, cars=cars_of(bench.files), **shares))
        for files in (1, bench.files)
    )
    floors: list[Measured] = [bench.floor(one)]
    runs: dict[tuple[int, str], list[Measured]] = {}
    for _ in range(bench.runs):
        for source in (one, many):
            for option in ("", "--landing"):
                lake = bench.new_lake()
                bench.say(f"{len(source.paths):,} file(s) {'from landing' if option else 'by path'}")
                done = bench.landed(lake, source, *filter(None, ("--prepared", option)))
                runs.setdefault((len(source.paths), option), []).append(called(done))
                bench.drop(lake)
        floors.append(bench.floor(one))
    lines = []
    for option, words in (("", "by path"), ("--landing", "from landing, archived")):
        single = runs[1, option]
        lines += [
            figure(f"one file, {words}", single, single, peak=False, details=steps),
            figure(
                f"{bench.files:,} files, {words}",
                runs[bench.files, option],
                single,
                Target("ratio", MOST_TIMES),
                peak=False,
                details=steps,
            ),
        ]
    floor = figure("floor on the one file (whole process)", floors, runs[1, ""], peak=False)
    title = f"Many files: {bench.files:,} files of one event, and the same events in one file; the call alone"
    return Section("many-files", title, "one file, the same way", [*lines, floor])
