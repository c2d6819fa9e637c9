"""What every section works with: inputs, measurements of the floor and of carlake, and lakes that are cleaned away."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from figures import BenchError, Figure, Target
from inputs import Input, Spec, at_hand, fleets
from measure import Measured, measured, middle, script

CHUNK = 8 << 20


@dataclass
class Bench:
    """One run of the benchmark.

    events    events of the full lake
    files     files of the many-files section
    runs      how often each figure is measured
    threads   threads of DuckDB, alone and in carlake
    out       folder for inputs (kept) and lakes (removed when the run ends)
    """

    events: int
    files: int
    runs: int
    threads: int
    out: Path
    work: Path = field(init=False)
    _full: Path | None = None
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.work = Path(tempfile.mkdtemp(prefix="work-", dir=self.out))

    def close(self) -> None:
        """Remove every lake."""
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, measure: Callable[[], None]) -> int:
        """Measure, and remove every lake; the exit code is 1 if a result is wrong or missing, not if it is slow."""
        try:
            measure()
        except (BenchError, subprocess.CalledProcessError) as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("Interrupted; the lakes are removed, the inputs kept.", file=sys.stderr)
            return 130
        finally:
            self.close()
        return 0

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)

    # -- inputs and lakes --------------------------------------------------------------------------------------------

    def input(self, spec: Spec) -> Input:
        """The input, in the file system's cache, so that the first to read it is no worse off."""
        self.say(f"input: {spec.events:,} events in {spec.files:,} file(s)")
        found = at_hand(spec, self.out / "inputs")
        buffer = bytearray(CHUNK)
        for path in found.paths:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        return found

    def new_lake(self) -> Path:
        """A path where no lake is yet."""
        return self.work / f"lake-{next(self._numbers)}"

    def full_lake(self) -> Path:
        """A lake with all events. Iceberg records absolute paths, so there is one, and sections add to it."""
        if self._full is None:
            lake = self.new_lake()
            for spec in fleets(self.events):
                source = self.input(spec)
                self.say(f"landing {spec.events:,} of {self.events:,} events, for the lake that the next figures need")
                self.landed(lake, source)
                if spec.another:
                    shutil.rmtree(source.folder.parent)  # the next ones need as much disk
            self._full = lake
        return self._full

    def keep(self, lake: Path) -> None:
        """Let `full_lake` be this one."""
        if self._full is None:
            self._full = lake
        else:
            self.drop(lake)

    def drop(self, lake: Path) -> None:
        """Remove a lake that is not needed any more; a laptop's disk is small."""
        shutil.rmtree(lake, ignore_errors=True)

    # -- measurements ------------------------------------------------------------------------------------------------

    def floor(self, source: Input) -> Measured:
        """DuckDB alone, in a process of its own."""
        target = self.work / "floor.parquet"
        files = source.paths[0] if len(source.paths) == 1 else source.folder / "*"
        done = measured(script("floor.py", files, target, self.threads, source.columns))
        target.unlink()
        self._told("floor", done)
        return done

    def process(self, lake: Path, paths: Sequence[Path | str], *options: str) -> Measured:
        """`landing.py` on these paths, in a process of its own; each run has to succeed."""
        done = measured(script("landing.py", lake, *paths, "--threads", self.threads, *options))
        for run in done.answer["runs"]:
            if run["status"] != "succeeded":
                raise BenchError(f"A run of carlake is {run['status']}: {run}")
        self._told("carlake", done)
        return done

    def landed(self, lake: Path, source: Input, *options: str) -> Measured:
        """The whole input, of cars that the lake does not have, by one run, which has to count what the simulator says."""
        done = self.process(lake, [source.paths[0] if len(source.paths) == 1 else source.folder], *options)
        run = done.answer["runs"][0]
        counts = {name: run[name] for name in ("records", "accepted", "quarantined", "duplicates")}
        expected = {
            "records": source.records,
            "accepted": source.events,
            "quarantined": source.bad,
            "duplicates": source.duplicates,
        }
        if counts != expected:
            raise BenchError(f"carlake counts {counts}, the simulator {expected}: its speed would mean nothing.")
        return done

    def _told(self, what: str, done: Measured) -> None:
        calls = [run["call_seconds"] for run in done.answer.get("runs", ())]
        inside = f", of it {sum(calls):.3f} s in {len(calls)} call(s)" if calls else ""
        self.say(
            f"  {what}: {done.seconds:.2f} s{inside}; {done.cpu_seconds:.2f} s CPU, {done.peak_bytes / 1e6:.0f} MB"
        )


def called(done: Measured, number: int = 0) -> Measured:
    """The same measurement with the time of one call in place of the whole process's."""
    run = done.answer["runs"][number]
    return Measured(run["call_seconds"], run["call_cpu_seconds"], done.peak_bytes, done.answer)


def figure(
    what: str,
    runs: Sequence[Measured],
    yardstick: Sequence[Measured],
    target: Target | None = None,
    *,
    peak: bool = True,
    details: Callable[[Measured], dict[str, Any]] = lambda run: {},
) -> Figure:
    """The medians of `runs` and their ratios to the medians of `yardstick`; `peak` False leaves memory out."""
    own, other = middle(runs), middle(yardstick)
    return Figure(
        what,
        seconds=own.seconds,
        slowest=max(run.seconds for run in runs),
        runs=len(runs),
        ratio=own.seconds / other.seconds,
        cpu_seconds=own.cpu_seconds,
        cpu_ratio=own.cpu_seconds / other.cpu_seconds if other.cpu_seconds else None,
        peak_bytes=own.peak_bytes if peak else None,
        target=target,
        details=details(own),
    )


def steps(done: Measured) -> dict[str, Any]:
    """Seconds and rows of each table in the last run of a process."""
    return {
        step["table"]: {name: step[name] for name in ("seconds", "rows_in", "rows_out", "rows_removed")}
        for step in done.answer["runs"][-1]["steps"]
    }


def steps_note(done: Measured) -> str:
    """Where the seconds of a run went, as one line."""
    parts = [f"{table} {step['seconds']:.2f} s" for table, step in steps(done).items()]
    return "where the time went: " + ", ".join(parts)
