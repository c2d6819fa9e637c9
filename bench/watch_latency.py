"""A file renamed into landing: how long until a reader sees it in all three gold tables, and whether that stays so."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from figures import Figure, Section
from service import events, quantile, seconds, service
from session import Bench

MOST = {0.5: 0.25, 0.95: 0.5, 0.99: 1.0}
MOST_LATER, MOST_FULL = 1.2, 2.0
AROUND = 10


def watch_latency(bench: Bench, files: int) -> Section:
    """One file after the other, each as soon as the one before is visible: into an empty lake, then into a full one."""
    empty, empty_cpu = latencies(bench, bench.new_lake(), files)
    full, full_cpu = latencies(bench, bench.full_lake(), files)
    first = median(empty[:AROUND])
    lines = []
    for words, found, cpu in (("an empty lake", empty, empty_cpu), (f"a lake of {bench.events:,}", full, full_cpu)):
        lines.append(Figure(f"the watch's CPU time a file, {words}", cpu_seconds=cpu, cpu_ratio=cpu / empty_cpu))
        lines += [
            seconds(f"p{share * 100:g}, {words}", quantile(found, share), most, quantile(found, share) / first)
            for share, most in MOST.items()
        ]
    later, usual = median(empty[-AROUND:]), median(full)
    lines += [
        seconds(f"around commit {len(empty):,}, to around the 10th", later, MOST_LATER, later / first, "ratio"),
        seconds(f"median into {bench.events:,}, to empty", usual, MOST_FULL, usual / median(empty), "ratio"),
    ]
    title = f"Watch: {files:,} files of one event, one after the other, each seen in all gold tables by another process"
    return Section("watch", title, "the first ten into the empty lake", lines)


def latencies(bench: Bench, lake: Path, files: int) -> tuple[list[float], float]:
    """The seconds of each file, without the one that warms the watch; and the CPU time of the watch for one."""
    bench.say(f"watching: {files:,} files, one after the other")
    with service(bench, lake) as running:
        coming = events(bench, f"w{lake.name[-1]}x")
        running.seconds_to_gold(next(coming))
        before = running.cpu_seconds()
        found = [running.seconds_to_gold(next(coming)) for _ in range(files)]
        cpu = (running.cpu_seconds() - before) / files
    bench.say(f"  median {median(found):.3f} s, slowest {max(found):.3f} s; {cpu:.3f} s CPU each")
    return found, cpu
