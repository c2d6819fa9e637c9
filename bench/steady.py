"""A steady stream of small files: does a watch keep up, how fresh are the tables, and does its memory stay."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from figures import BenchError, Figure, Section, Target
from service import Event, Service, events, quantile, seconds, service
from session import Bench

MOST_FRESHNESS = 5.0
MOST_MEMORY = 1.25
PROBE_SECONDS = 0.5
LONGEST_DRAIN_SECONDS = 300.0


def steady(bench: Bench, rate: int, for_seconds: int) -> Section:
    """`rate` files of one event each second. Freshness is that of one file in two a second, by a reader beside it."""
    bench.say(f"watching: {rate:,} files a second for {for_seconds} s")
    lake = bench.new_lake()
    with service(bench, lake) as running:
        coming = events(bench, "s")
        running.seconds_to_gold(next(coming))
        before = running.holds()
        stream = _Stream(running, coming, rate, for_seconds)
        fresh = stream.run()
        left = running.waiting()
        drained = _drained(running)
        after = running.holds()
    bench.drop(lake)
    grown = after.get("memory_bytes", 0) / max(1, before.get("memory_bytes", 1))
    lines = [
        seconds("freshness, p50", quantile(fresh, 0.5), None, 1.0),
        seconds("freshness, p95", quantile(fresh, 0.95), MOST_FRESHNESS, quantile(fresh, 0.95) / quantile(fresh, 0.5)),
        seconds("until landing was empty after the last file", drained, MOST_FRESHNESS),
        Figure(
            "memory at the end, to after the first file",
            peak_bytes=after.get("memory_bytes"),
            peak_ratio=grown,
            target=Target("peak_ratio", MOST_MEMORY),
        ),
    ]
    took = f"{stream.landed:,} files landed in {stream.seconds:.1f} s ({stream.landed / stream.seconds:.0f} a second)"
    title = f"Steady: {rate:,} files of one event each second for {for_seconds} s"
    return Section(
        "steady", title, "the median freshness", lines, [f"{took}; {left:,} waited when the last had landed"]
    )


class _Stream:
    """Lands files at a rate; every half a second one of them is asked for."""

    def __init__(self, running: Service, coming: Iterator[Event], rate: int, for_seconds: int) -> None:
        self._running, self._coming = running, coming
        self._rate, self._until = rate, float(for_seconds)
        self._moments: list[float] = []
        self.landed = 0
        self.seconds = 0.0

    def run(self) -> list[float]:
        """Land them; gives the seconds of those that were asked for."""
        fresh: list[float] = []
        failed: list[BaseException] = []
        asked = threading.Semaphore(0)
        ended = threading.Event()

        def gather() -> None:
            done = 0
            try:
                while asked.acquire() and not (ended.is_set() and done == len(self._moments)):
                    fresh.append(float(self._running.answer()["seen"]) - self._moments[done])
                    done += 1
            except BaseException as error:  # noqa: BLE001  (raised in the thread that lands)
                failed.append(error)

        gathering = threading.Thread(target=gather)
        gathering.start()
        started, next_probe = time.monotonic(), 0.0
        while (now := time.monotonic() - started) < self._until and not failed:
            while self.landed < now * self._rate:
                event = next(self._coming)
                moment = self._running.land(event)
                if now >= next_probe:
                    self._moments.append(moment)
                    self._running.ask(event.question)
                    asked.release()
                    next_probe = now + PROBE_SECONDS
                self.landed += 1
            time.sleep(0.005)
        self.seconds = time.monotonic() - started
        ended.set()
        asked.release()
        gathering.join()
        if failed:
            raise failed[0]
        return fresh


def _drained(running: Service) -> float:
    started = time.monotonic()
    while running.waiting():
        if time.monotonic() - started > LONGEST_DRAIN_SECONDS:
            raise BenchError(f"{running.waiting():,} files still wait after {LONGEST_DRAIN_SECONDS:g} s.")
        time.sleep(0.05)
    return time.monotonic() - started
