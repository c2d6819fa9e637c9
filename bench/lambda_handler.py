"""`make bench-lambda`: the deployed function, cold and warm, beside the same files landed on the local disk.

The built package runs as Lambda runs it (`tests/servers/lambda_runtime.py`) against moto (Glue, SQS) and versitygw (S3), both
on this machine: what a network costs is not in it, and what those servers cost is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "tests"), str(HERE.parent / "deploy" / "aws")]

from carlake_aws import node  # noqa: E402

node.use()  # before anything imports CDK

from carlake_aws.build import LARGEST_BYTES  # noqa: E402
from carlake_aws.parameters import Parameters  # noqa: E402
from carlake_aws.templates import synthesize  # noqa: E402
from figures import BenchError, Section, document, footer, memory, paste, table  # noqa: E402
from inputs import Input, Spec  # noqa: E402
from measure import Measured, compile_bytecode, machine  # noqa: E402
from session import Bench, called, figure  # noqa: E402

from aws.live import Live, live  # noqa: E402
from servers import function, moto, versitygw  # noqa: E402

OUT = HERE / "out"
MANY = 1000


def main() -> int:
    """Measure, print the table, write the JSON; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="bench/lambda_handler.py", description="The deployed function, cold and warm."
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each figure; their median counts [5]")
    parser.add_argument("--out", type=Path, default=OUT, help="where inputs are kept and lambda.json goes [bench/out]")
    parser.add_argument("--page", type=Path, help="put the table into this page too, as `docs/benchmarks.md` has it")
    options = parser.parse_args()
    bench = Bench(MANY, 1, options.runs, os.cpu_count() or 1, options.out.resolve())
    return bench.run(lambda: _measure(bench, options))


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    about = {**machine(), "threads": bench.threads, "runs": bench.runs}
    compile_bytecode()
    bench.say("building the package")
    with function.built() as package, moto.running() as server, versitygw.running() as store:
        files = synthesize(Parameters(), bench.work / "assembly", checked=False)
        templates = {holds: json.loads(file.read_text(encoding="utf-8")) for holds, file in files.items()}

        def started() -> Any:
            folder = Path(tempfile.mkdtemp(dir=bench.work)) / "function"
            return live(package, templates, server, store, folder)

        done = [_section(bench, events, started) for events in (1, MANY)]
        size = package.bytes
    done.append(
        Section(
            "lambda-package",
            "The package",
            "itself",
            [],
            [
                f"{memory(size)} unpacked, of {memory(LARGEST_BYTES)} that it may have and {memory(250 * 2**20)} that Lambda takes"
            ],
        )
    )
    (bench.out / "lambda.json").write_text(json.dumps(document(about, done), indent=2) + "\n", encoding="utf-8")
    text = f"{table(done)}\n{footer(about)}"
    print(text)
    if options.page:
        paste(options.page, "bench-lambda", text)


def _section(bench: Bench, events: int, started: Callable[[], Any]) -> Section:
    """Files of so many events, one a call: into an empty lake by a new process, and then by the same one."""
    clean = {"duplicates": 0.0, "bad": 0.0, "corrections": 0.0, "stale": 0.0, "late": 0.0}
    count = bench.runs + 1
    source = bench.input(Spec(events=events * count, files=count, cars=10, **clean))
    cold, again, warm, local_cold, local_warm = [], [], [], [], []
    for _ in range(bench.runs):
        lake = bench.new_lake()
        local_cold.append(bench.process(lake, [source.paths[0]]))
        bench.drop(lake)
        with started() as found:
            cold.append(_called(bench, found, source, 0))
            found.function.kill()
            again.append(_called(bench, found, source, 1))
    lake = bench.new_lake()
    runs = bench.process(lake, source.paths, "--each")
    local_warm = [called(runs, number) for number in range(1, count)]
    with started() as found:
        for number in range(count):
            warm.append(_called(bench, found, source, number))
        rows = found.ask("SELECT count(*) AS n FROM silver_car_telemetry")[0]["n"]
    if rows != events * count:
        raise BenchError(f"Silver has {rows} rows, the simulator made {events * count} events.")
    what = "1 event" if events == 1 else f"{events:,} events"
    lines = [
        figure(f"{what}, embedded, a new process and lake", local_cold, local_cold),
        figure(f"{what}, the function cold, a new lake", cold, local_cold),
        figure(f"{what}, the function cold, the lake is there", again, local_cold),
        figure(f"{what}, embedded, the call alone", local_warm, local_warm),
        figure(f"{what}, the function warm", warm[1:], local_warm),
    ]
    starts = sorted(run.answer["init_seconds"] for run in (*cold, *again))
    notes = [f"of a cold call, loading the handler before it took {starts[len(starts) // 2]:.2f} s (median)"]
    return Section(f"lambda-{events}", f"The function: {what} a file", "embedded on local files", lines, notes)


def _called(bench: Bench, found: Live, source: Input, number: int) -> Measured:
    """A file lands, and the function is called with its message."""
    found.put(f"{number}.ndjson", *source.paths[number].read_text(encoding="utf-8").splitlines())
    before = _cpu(found.function.pid) if found.function.alive else 0.0
    begun = time.perf_counter()
    answer = found.call()
    if answer.error or answer.payload != {"batchItemFailures": []}:
        raise BenchError(f"The function answers {answer}:\n{found.function.said()}")
    seconds = answer.init_seconds + answer.seconds
    status = Path(f"/proc/{found.function.pid}/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    bench.say(
        f"  function: {seconds:.2f} s, {answer.init_seconds:.2f} of it to start; {time.perf_counter() - begun:.2f} in all"
    )
    return Measured(seconds, _cpu(found.function.pid) - before, peak, {"init_seconds": answer.init_seconds})


def _cpu(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
