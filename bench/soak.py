"""Many commits, one after the other: does anything grow that should not."""

from __future__ import annotations

from statistics import median

from figures import Figure, Section, Target
from service import events, seconds, service
from session import Bench

SAMPLES = 10
MOST_LATER, MOST_GROWTH = 1.2, 1.5
COUNTED = {
    "files": "data files",
    "snapshots": "snapshots",
    "metadata_bytes": "metadata bytes",
    "memory_bytes": "memory",
    "descriptors": "file descriptors",
}


def soak(bench: Bench, commits: int) -> Section:
    """Files of one event, each waited for. What is counted rises and falls as maintenance comes round: the most of the
    samples in the second half is compared with the most in the first.
    """
    bench.say(f"watching: {commits:,} commits, one after the other")
    lake = bench.new_lake()
    found: list[float] = []
    counted: list[dict[str, int]] = []
    with service(bench, lake) as running:
        coming = events(bench, "k")
        running.seconds_to_gold(next(coming))
        for number in range(commits):
            found.append(running.seconds_to_gold(next(coming)))
            if (number + 1) * SAMPLES // commits > number * SAMPLES // commits:
                counted.append(running.holds())
                bench.say(f"  {number + 1:,}: {median(found[-max(1, commits // SAMPLES) :]):.3f} s, {counted[-1]}")
    bench.drop(lake)
    share = max(1, commits // SAMPLES)
    first, last = median(found[:share]), median(found[-share:])
    before, after = _most(counted[: len(counted) // 2]), _most(counted[len(counted) // 2 :])
    lines = [
        seconds("the first tenth, median", first, None, 1.0),
        seconds("the last tenth, median", last, MOST_LATER, last / first, "ratio"),
        *(
            Figure(
                f"{words}: at most {after[name]:,} in the second half, {before[name]:,} in the first",
                ratio=after[name] / max(1, before[name]),
                target=Target("ratio", MOST_GROWTH),
                details={"samples": [each.get(name) for each in counted]},
            )
            for name, words in COUNTED.items()
            if name in before and name in after
        ),
    ]
    title = f"Soak: {commits:,} commits of one event, each seen in all gold tables"
    return Section("soak", title, "the first tenth; of counts, the first half", lines)


def _most(samples: list[dict[str, int]]) -> dict[str, int]:
    """The most of each that is counted."""
    return {name: max(each.get(name, 0) for each in samples) for each in samples for name in each}
