"""`make bench-spark`: carlake on Spark beside the embedded engine, a plain Spark job, and the floor, in one run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from figures import BenchError, Figure, Section, Target, document, memory, paste, table
from inputs import Input, Spec, cars_of, fleet
from measure import Measured, compile_bytecode, machine, measured, script
from session import Bench, called, figure, steps, steps_note

OUT = Path(__file__).parent / "out"
FILES = 16  # Spark works by files, so one file of all events would keep one core busy
MOST_TIMES, SAME_MEMORY = 1.5, 1.25
MEMORY = "1g"  # of the JVM, for carlake (its memory_limit) and for the plain job


def main() -> int:
    """Measure, print the table, write the JSON; gives the exit code."""
    parser = argparse.ArgumentParser(prog="bench/spark.py", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[300_000, 1_000_000], help="sizes [300000 1000000]")
    parser.add_argument("--runs", type=int, default=1, help="runs of each figure; their median counts [1]")
    parser.add_argument("--threads", type=int, default=2, help="cores, for every program [2]")
    parser.add_argument("--out", type=Path, default=OUT, help="where inputs are kept and spark.json goes [bench/out]")
    parser.add_argument("--page", type=Path, help="put the table into this page too, as `docs/benchmarks.md` has it")
    options = parser.parse_args()
    bench = Bench(max(options.events), FILES, options.runs, options.threads, options.out.resolve())
    return bench.run(lambda: _measure(bench, options))


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    started = time.time()
    about = {**machine(), "threads": bench.threads, "runs": bench.runs}
    compile_bytecode()
    drivers: dict[int, int] = {}
    done = [_landing(bench, events, drivers) for events in sorted(options.events)]
    done.append(_new_events(bench, max(options.events)))
    about |= {"seconds": round(time.time() - started, 1)}
    footer = (
        f"{about['system']}, {about['cores']} cores, load {about['load_at_start']} at the start; took {about['seconds']} s\n"
        f"Python {about['python']}, {', '.join(f'{name} {version}' for name, version in about['versions'].items())}"
    )
    (bench.out / "spark.json").write_text(json.dumps(document(about, done), indent=2) + "\n", encoding="utf-8")
    print(f"{table(done)}\n{footer}")
    if options.page:
        paste(options.page, "bench-spark", f"{table(done)}\n{footer}")


def _landing(bench: Bench, events: int, drivers: dict[int, int]) -> Section:
    """All events into an empty lake: floor, embedded, Spark, the plain job, and so on. The last lake on Spark stays."""
    source = bench.input(fleet(events, files=FILES))
    floors, embedded, spark, plain = [bench.floor(source)], [], [], []
    for _ in range(bench.runs):
        lake = bench.new_lake()
        embedded.append(bench.landed(lake, source))
        bench.drop(lake)
        lake = bench.new_lake()
        spark.append(_with_all(bench.landed(lake, source, "--engine", "spark")))
        if events == bench.events:
            bench.keep(lake)
        else:
            bench.drop(lake)
        plain.append(_plain(bench, source))
        floors.append(bench.floor(source))
    most = [run.answer["peaks"] for run in spark]
    driver = max(peaks["driver"] for peaks in most)
    drivers[events] = driver
    beside = driver / drivers[min(drivers)]
    target = Target("peak_ratio", SAME_MEMORY) if events != min(drivers) else None
    lines = [
        figure("floor: DuckDB, NDJSON to Parquet", floors, floors),
        figure("carlake, embedded", embedded, floors, details=steps),
        figure("carlake on Spark", spark, floors, details=steps, peak=False),
        figure("a plain Spark job", plain, floors, peak=False),
        replace(
            figure("carlake on Spark, to the plain job", spark, plain, Target("ratio", MOST_TIMES), peak=False),
            what="  carlake on Spark, to the plain job",
        ),
        Figure(
            "  memory of the driver's Python",
            peak_bytes=driver,
            peak_ratio=beside if target else None,
            target=target,
        ),
        Figure("  memory of the JVM, driver and executors", peak_bytes=max(peaks.get("jvm", 0) for peaks in most)),
        Figure("  memory of a Python worker", peak_bytes=max(peaks.get("worker", 0) for peaks in most)),
    ]
    title = f"Spark, landing to gold: {events:,} nested events, {memory(source.size)} of NDJSON in {FILES} files, whole process"
    notes = [
        "carlake on Spark, " + steps_note(spark[-1]),
        f"the calls alone, without starting Spark: carlake {_call(spark):.1f} s, plain job {_call(plain):.1f} s, "
        f"{_call(spark) / _call(plain):.2f} x",
    ]
    return Section(
        f"spark-{events}", title, "the floor, in the same run; of the target: to the plain job", lines, notes
    )


def _with_all(run: Measured) -> Measured:
    """With the processor time of the JVM and the workers, which nobody waits for."""
    return replace(run, cpu_seconds=float(run.answer["cpu_seconds"]))


def _call(runs: list[Measured]) -> float:
    return min(float(run.answer["runs"][0]["call_seconds"]) for run in runs)


def _plain(bench: Bench, source: Input) -> Measured:
    warehouse = bench.new_lake()
    done = measured(script("spark_plain.py", warehouse, bench.threads, MEMORY, source.folder))
    bench.drop(warehouse)
    bench.say(f"  plain: {done.seconds:.2f} s; {done.cpu_seconds:.2f} s CPU")
    rows = done.answer["runs"][-1]["rows"]
    if not source.events <= rows <= source.events + source.bad:
        raise BenchError(f"The plain job has {rows} rows of silver, the simulator {source.events} events.")
    return _with_all(done)


def _new_events(bench: Bench, events: int) -> Section:
    """A thousand new events into the full lake: what was read and written for them."""
    source = bench.input(Spec(events=1000, files=1, cars=cars_of(events), follows=True))
    lake = bench.full_lake()
    before = _files(lake)
    done = bench.process(lake, [source.paths[0]], "--engine", "spark")
    after = _files(lake)
    run = called(done)
    notes = []
    for name in sorted(after):
        there, now = before.get(name, {}), after[name]
        new = [path for path in now if path not in there]
        notes.append(
            f"{name}: {len(there)} files, {memory(sum(there.values()))} before; {len(new)} new files, "
            f"{memory(sum(now[path] for path in new))}"
        )
    written = {table: step["rows_out"] for table, step in steps(run).items()}
    if written["silver_car_telemetry"] != 1000:
        raise BenchError(f"1,000 new events wrote {written['silver_car_telemetry']} rows of silver.")
    lines = [figure(f"1,000 events into {events:,}", [run], [run], peak=False, details=steps)]
    return Section("spark-new-events", "Spark: 1,000 new events, the call alone", "itself", lines, notes)


def _files(lake: Path) -> dict[str, dict[str, int]]:
    """The data files of each table, with their sizes."""
    found: dict[str, dict[str, int]] = {}
    for path in lake.glob("warehouse/*/*/data/**/*.parquet"):
        found.setdefault(path.relative_to(lake / "warehouse").parts[1], {})[str(path)] = path.stat().st_size
    return found


if __name__ == "__main__":
    sys.exit(main())
