"""What a watch has done and how it stands, as figures for a monitor (Prometheus).

Written by the loop, read by the threads that answer over HTTP: single values only, each replaced whole.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carlake.refresh.report import DONE, RunReport
from carlake.version import VERSION

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass
class Spread:
    """A histogram of seconds: how many lie at or below each bound, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    total: float = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect_left(_SECONDS, seconds)] += times
        self.total += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """(bound, how many lie at or below it), as Prometheus has them."""
        found, below = [], 0
        for bound, count in zip([*map(str, _SECONDS), "+Inf"], self.counts, strict=True):
            below += count
            found.append((bound, float(below)))
        return found


@dataclass
class QueueFigures:
    """What was done with the messages of a queue, and how it stands.

    error        why it cannot be used
    oldest_sent  when the oldest message in hand was sent, in seconds of the epoch
    waiting, in_flight, delayed  messages, by the queue's own count
    """

    error: str | None = None
    received: int = 0
    deleted: int = 0
    returned: int = 0
    skipped: int = 0
    poison: int = 0
    dead: int = 0
    prolonged: int = 0
    oldest_sent: float | None = None
    waiting: int = 0
    in_flight: int = 0
    delayed: int = 0

    def collect(self) -> Iterator[Metric]:
        """The figures, for Prometheus's client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, doc in (
            ("received", "Messages received from the queue."),
            ("deleted", "Messages deleted: what they name is in bronze, or is nothing to land."),
            ("returned", "Messages given back to the queue."),
            ("skipped", "Messages that told of no arrival."),
            ("poison", "Messages that could not be understood."),
            ("dead", "Messages given back for the last time, which become dead letters."),
            ("prolonged", "Times that a hold on a message was prolonged."),
        ):
            yield CounterMetricFamily(f"carlake_queue_messages_{name}", doc, value=getattr(self, name))
        age = 0.0 if self.oldest_sent is None else max(time.time() - self.oldest_sent, 0.0)
        yield GaugeMetricFamily("carlake_queue_oldest_seconds", "Age of the oldest message in hand, about.", value=age)
        up = "Whether the queue can be used."
        yield GaugeMetricFamily("carlake_queue_up", up, value=float(self.error is None))
        family = GaugeMetricFamily("carlake_queue_messages", "Messages by the queue's own count.", labels=["state"])
        for state in ("waiting", "in_flight", "delayed"):
            family.add_metric([state], getattr(self, state))
        yield family


class Figures:
    """All figures of one watch. `beat` is to be called as work goes on; the rest by the loop at each of its turns."""

    def __init__(self, tables: Sequence[str]) -> None:
        self.tables = tuple(tables)
        self.beaten = time.monotonic()
        self.listing_error: str | None = None
        self.run_error: str | None = None
        self.ready = False
        self.open_circuits: tuple[str, ...] = ()
        self.backlog_files = self.backlog_bytes = self.unfinished_files = 0
        self.oldest_seen: float | None = None
        self.hints = self.looks = self.errors = 0
        self.files = self.files_known = self.records = self.quarantined = self.duplicates = self.accepted = 0
        self.runs: dict[str, int] = defaultdict(int)
        self.commits: dict[str, int] = defaultdict(int)
        self.refusals: dict[str, int] = defaultdict(int)
        self.failures: dict[str, int] = defaultdict(int)
        self.current: dict[str, float] = {}
        self.steps: dict[str, Spread] = defaultdict(Spread)
        self.visible = Spread()
        self.batches = Spread()
        self.queue: QueueFigures | None = None

    def beat(self) -> None:
        """The loop is alive."""
        self.beaten = time.monotonic()

    def waits(self, files: int, size: int, unfinished: int, oldest_seen: float | None) -> None:
        """What waits in landing, which could be listed, and when the oldest was first seen (`time.monotonic`)."""
        self.backlog_files, self.backlog_bytes, self.unfinished_files = files, size, unfinished
        self.oldest_seen = oldest_seen
        self.listing_error = None

    def ran(self, report: RunReport, seen: Sequence[float]) -> None:
        """A run has ended; `seen` are the moments at which its objects were first seen."""
        now = time.monotonic()
        self.ready = True
        self.run_error = None
        self.files += report.files
        self.files_known += report.files_known
        self.records += report.records
        self.accepted += report.accepted
        self.quarantined += report.quarantined
        self.duplicates += report.duplicates
        if not report.idle:
            self.runs[report.status] += 1
            self.batches.add(report.seconds)
        for step in report.steps:
            self.refusals[step.table] += step.refusals
            self.failures[step.table] += step.status == "failed"
            if step.status == "succeeded":
                self.commits[step.table] += 1
                self.steps[step.table].add(step.seconds)
            if step.status in DONE:
                self.current[step.table] = now
        if report.status == "succeeded":
            for moment in seen:
                self.visible.add(now - moment)

    # -- what a monitor asks -----------------------------------------------------------------------------------------

    def alive(self, stuck_seconds: float) -> tuple[bool, dict[str, object]]:
        """Whether the loop goes round."""
        since = time.monotonic() - self.beaten
        return since < stuck_seconds, {"seconds_since_the_loop_was_seen": round(since, 3), "version": VERSION}

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether what arrives becomes visible: landing can be listed, the catalog answers, no circuit is open."""
        wrong: dict[str, object] = {}
        if not self.ready and self.run_error is None and self.listing_error is None:
            wrong["starting"] = "the first look at landing is not done yet"
        if self.listing_error is not None:
            wrong["listing"] = self.listing_error
        if self.run_error is not None:
            wrong["run"] = self.run_error
        if self.open_circuits:
            wrong["open_circuits"] = list(self.open_circuits)
        if self.queue is not None and self.queue.error is not None:
            wrong["queue"] = self.queue.error
        return not wrong, wrong

    def lag_seconds(self) -> float:
        """For how long the oldest object has waited that lies in landing."""
        return 0.0 if self.oldest_seen is None else max(time.monotonic() - self.oldest_seen, 0.0)

    def collect(self) -> Iterator[Metric]:
        """All figures, for Prometheus's client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        def gauge(name: str, doc: str, value: float) -> Metric:
            return GaugeMetricFamily(f"carlake_{name}", doc, value=value)

        def counter(name: str, doc: str, value: float) -> Metric:
            return CounterMetricFamily(f"carlake_{name}", doc, value=value)

        def by_table(name: str, doc: str, values: dict[str, int]) -> Metric:
            family = CounterMetricFamily(f"carlake_{name}", doc, labels=["table"])
            for table in self.tables:
                family.add_metric([table], values.get(table, 0))
            return family

        def histogram(name: str, doc: str, spread: Spread) -> Metric:
            return HistogramMetricFamily(f"carlake_{name}", doc, buckets=spread.buckets(), sum_value=spread.total)

        info = GaugeMetricFamily("carlake_info", "The version of carlake that watches.", labels=["version"])
        info.add_metric([VERSION], 1)
        yield info
        yield gauge("up", "Whether what arrives becomes visible, as /readyz says.", float(self.readiness()[0]))
        yield gauge("lag_seconds", "For how long the oldest object in landing has waited.", self.lag_seconds())
        yield gauge("backlog_files", "Objects that wait in landing.", self.backlog_files)
        yield gauge("backlog_bytes", "Bytes that wait in landing.", self.backlog_bytes)
        yield gauge("unfinished_files", "Objects in landing that are still being written.", self.unfinished_files)
        yield counter("files", "Objects taken in.", self.files)
        yield counter("files_known", "Objects whose content the lake had already.", self.files_known)
        yield counter("records", "Records landed.", self.records)
        yield counter("records_accepted", "Records that became rows of silver.", self.accepted)
        yield counter("records_quarantined", "Records that went to quarantine.", self.quarantined)
        yield counter("records_duplicate", "Records that were another's duplicate or older version.", self.duplicates)
        yield counter("hints", "Events that gave reason to look.", self.hints)
        yield counter("looks", "Listings of landing.", self.looks)
        yield counter("errors", "Turns of the loop that an error ended.", self.errors)
        runs = CounterMetricFamily("carlake_runs", "Runs that did something, by outcome.", labels=["status"])
        for status in ("succeeded", "partial", "failed"):
            runs.add_metric([status], self.runs.get(status, 0))
        yield runs
        yield by_table("commits", "Commits to a table.", self.commits)
        yield by_table("refusals", "Commits that were refused since another writer was faster.", self.refusals)
        yield by_table("failures", "Refreshes of a table that failed.", self.failures)
        circuits = GaugeMetricFamily("carlake_circuit_open", "Whether a table's circuit is open.", labels=["table"])
        fresh = GaugeMetricFamily(
            "carlake_table_freshness_seconds",
            "Seconds since a table was last seen to hold all that its source had.",
            labels=["table"],
        )
        now = time.monotonic()
        for table in self.tables:
            circuits.add_metric([table], float(table in self.open_circuits))
            if table in self.current:
                fresh.add_metric([table], now - self.current[table])
        yield circuits
        yield fresh
        steps = HistogramMetricFamily("carlake_step_seconds", "Seconds that one table took in a run.", labels=["table"])
        for table, spread in list(self.steps.items()):
            steps.add_metric([table], spread.buckets(), spread.total)
        yield steps
        yield histogram("batch_seconds", "Seconds that a run took which did something.", self.batches)
        yield histogram("visible_seconds", "Seconds from seeing an object to its rows in every table.", self.visible)
        if self.queue is not None:
            yield from self.queue.collect()
