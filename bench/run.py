"""`make bench`: how fast carlake is, as ratios to DuckDB alone on the same input in the same run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from figures import Section, document, footer, paste, table
from many_files import many_files
from measure import compile_bytecode, machine
from new_events import new_events
from one_file import one_file
from session import Bench
from soak import soak
from steady import steady
from to_gold import to_gold
from watch_latency import watch_latency

OUT = Path(__file__).parent / "out"
SECTIONS = ("to-gold", "many-files", "one-file", "new-events", "watch", "steady", "soak")


def main() -> int:
    """Measure, print the table, write the JSON; gives the exit code."""
    options = _options()
    bench = Bench(options.events, options.files, options.runs, options.threads, options.out.resolve())
    return bench.run(lambda: _measure(bench, options))


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    sections: dict[str, Callable[[], Section]] = {
        "to-gold": lambda: to_gold(bench, options.large),
        "many-files": lambda: many_files(bench),
        "one-file": lambda: one_file(bench, options.calls),
        "new-events": lambda: new_events(bench),
        "watch": lambda: watch_latency(bench, options.watch_files),
        "steady": lambda: steady(bench, options.rate, options.steady_seconds),
        "soak": lambda: soak(bench, options.soak_commits),
    }
    started = time.time()
    about = {**machine(), "events": bench.events, "threads": bench.threads, "runs": bench.runs}
    bench.say("compiling bytecode, as an installer does")
    compile_bytecode()
    done = [sections[name]() for name in SECTIONS if name in (options.only or SECTIONS)]
    about |= {"seconds": round(time.time() - started, 1)}
    written = json.dumps(document(about, done), indent=2)
    results = bench.out / "results.json"
    results.write_text(written + "\n", encoding="utf-8")
    if options.json:
        print(written)
    else:
        print(table(done))
        print(footer(about))
        print(f"Took {about['seconds']} s. As JSON: {results}")
    if options.page:
        paste(options.page, "bench", f"{table(done)}\n{footer(about)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the full lake [1000000]")
    parser.add_argument("--files", type=int, default=10_000, help="small files [10000]")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure; their median counts [3]")
    parser.add_argument("--calls", type=int, default=20, help="library calls of one file each [20]")
    parser.add_argument(
        "--watch-files", type=int, default=100, help="files that a watch is timed with; 1000 for all [100]"
    )
    parser.add_argument("--rate", type=int, default=500, help="files a second of the steady stream [500]")
    parser.add_argument("--steady-seconds", type=int, default=20, help="how long it lasts; 300 for all [20]")
    parser.add_argument("--soak-commits", type=int, default=200, help="commits of the soak; 10000 for all [200]")
    parser.add_argument("--threads", type=int, default=2, help="threads of DuckDB, alone and in carlake [2]")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section; may be repeated")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=True, help="three times the events too"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON, not the table")
    parser.add_argument("--out", type=Path, default=OUT, help="where inputs are kept and results.json goes [bench/out]")
    parser.add_argument("--page", type=Path, help="put the table into this page too, as `docs/benchmarks.md` has it")
    options = parser.parse_args()
    counts = (options.events, options.files, options.runs, options.calls, options.threads)
    if min(*counts, options.watch_files, options.rate, options.steady_seconds, options.soak_commits) < 1:
        parser.error("counts start at 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
