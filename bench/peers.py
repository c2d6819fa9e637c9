"""`make bench-peers`: what a user would write instead, on the same input in the same run.

dbt-duckdb (silver and gold as models, then published to Iceberg whole) and dlt (bronze alone, appended to Iceberg), in
an environment of their own. The projects are in `bench/peers/`; neither keeps bronze and quarantine beside silver, so
neither does all that carlake does. The input has no broken line, since both stop at one; what each does there is shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import BenchError, Figure, Section, document, paste, table
from inputs import Input, Spec, fleet
from measure import HERE, Measured, compile_bytecode, machine, measured
from session import Bench, called, figure

OUT = HERE / "out"
REQUIREMENTS = HERE / "peers-requirements.txt"
PEERS = ("dbt-duckdb, published to Iceberg", "dlt, bronze alone")
CARLAKE = "carlake"


def main() -> int:
    """Measure, print the table, write the JSON; gives the exit code."""
    options = _options()
    bench = Bench(options.events, 1, options.runs, options.threads, options.out.resolve())
    return bench.run(lambda: _measure(bench, options))


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    about = {**machine(), "events": bench.events, "threads": bench.threads, "runs": bench.runs}
    compile_bytecode()
    python = _environment(bench, options.env.resolve())
    peers = _Peers(bench, python)
    sections = [peers.big(), peers.one_file(), *peers.truncated()]
    written = json.dumps(document(about, sections), indent=2)
    (bench.out / "peers.json").write_text(written + "\n", encoding="utf-8")
    print(written if options.json else table(sections))
    if options.page:
        paste(options.page, "peers", table(sections))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/peers.py", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1, help="runs of each figure; their median counts [1]")
    parser.add_argument("--threads", type=int, default=2, help="threads of DuckDB, everywhere [2]")
    parser.add_argument("--json", action="store_true", help="print the JSON, not the table")
    parser.add_argument("--out", type=Path, default=OUT, help="where inputs are kept and peers.json goes [bench/out]")
    parser.add_argument(
        "--env", type=Path, default=HERE.parent / ".envs" / "peers", help="the environment of the peers"
    )
    parser.add_argument("--page", type=Path, help="put the table into this page too, as `docs/benchmarks.md` has it")
    return parser.parse_args()


def _environment(bench: Bench, folder: Path) -> Path:
    """The Python of the peers' environment, which is made once."""
    python, ready = folder / "bin" / "python", folder / ".requirements"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        bench.say(f"installing {REQUIREMENTS.name}; this takes a few minutes, once")
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        subprocess.run([str(python), "-m", "compileall", "-qq", str(folder / "lib")], check=False, stdout=sys.stderr)
        ready.write_text(wanted, encoding="utf-8")
    return python


class _Peers:
    """carlake and the peers, each in a process of its own, whose first run takes the big file and whose second one event."""

    def __init__(self, bench: Bench, python: Path) -> None:
        self.bench = bench
        self.python = str(python)
        spec = fleet(bench.events, bad=0.0)
        self.source = bench.input(spec)
        self.later = bench.input(Spec(events=1, cars=spec.cars, follows=True))
        self.floors = [bench.floor(self.source)]
        self.runs: dict[str, list[Measured]] = {name: [] for name in (CARLAKE, *PEERS)}
        for _ in range(bench.runs):
            for name, runs in self.runs.items():
                runs.append(self.run(name, [self.source.paths[0], self.later.paths[0]]))
                self.check(name, runs[-1], self.source)
                self.floors.append(bench.floor(self.source))

    def run(self, name: str, paths: Sequence[Path]) -> Measured:
        """One process: an empty lake, and a run for each of the paths."""
        folder = self.bench.new_lake()
        self.bench.say(name)
        if name == CARLAKE:
            done = self.bench.process(folder, paths, "--each")
        elif name == PEERS[0]:
            given = (folder, self.bench.threads, self.source.columns, *paths)
            done = measured([self.python, str(HERE / "peers" / "dbt_iceberg.py"), *map(str, given)])
        else:
            done = measured([self.python, str(HERE / "peers" / "dlt_iceberg.py"), *map(str, (folder, *paths))])
        self.bench.drop(folder)
        return done

    def check(self, name: str, done: Measured, source: Input) -> None:
        """Every peer has to have the rows that its table holds by then, or its speed would mean nothing."""
        for run in done.answer["runs"]:
            if run.get("error"):
                raise BenchError(f"{name}: {run['error']}")
        rows = done.answer["runs"][-1].get("rows", {})
        expected = {"silver_car_telemetry": source.events + 1, "bronze_car_data": source.records + 1}
        wrong = {table: count for table, count in rows.items() if expected.get(table, count) != count}
        if wrong:
            raise BenchError(f"{name} has {wrong}, not {expected}.")

    def big(self) -> Section:
        """All events, in one file, into nothing."""
        floors = [called(floor) for floor in self.floors]
        lines = [figure("floor: DuckDB, NDJSON to Parquet", floors, floors)]
        lines += [figure(name, [called(run) for run in runs], floors) for name, runs in self.runs.items()]
        title = f"{self.bench.events:,} nested events in one file, no broken line; the work alone, without imports"
        return Section("peers", title, "the floor, in the same run", lines)

    def one_file(self) -> Section:
        """One more event, by the same process."""
        own = [called(run, 1) for run in self.runs[CARLAKE]]
        lines = [figure(n, [called(run, 1) for run in runs], own, peak=False) for n, runs in self.runs.items()]
        return Section("peers-one-file", "One more file of one event, by the same process", "carlake", lines)

    def truncated(self) -> list[Section]:
        """A file that breaks off within its last line, and then a good one: what comes through."""
        texts = self.source.paths[0].open("rb")
        with texts:
            lines = [next(texts) for _ in range(4)]
        folder = self.bench.work / "truncated"
        folder.mkdir()
        broken, good = folder / "1-broken.ndjson", folder / "2-good.ndjson"
        broken.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
        good.write_bytes(lines[3])
        notes = [f"{name}: {_outcome(self.run(name, [broken, good]))}" for name in (CARLAKE, *PEERS)]
        title = "A file of three events whose last is cut off, then a file of one good event"
        return [Section("peers-truncated", title, "", list[Figure](), notes)]


def _outcome(done: Measured) -> str:
    told = []
    for what, run in zip(("cut-off file", "good file"), done.answer["runs"], strict=True):
        told.append(f"{what}: {_said(run)}")
    return "; ".join(told)


def _said(run: dict[str, Any]) -> str:
    if "accepted" in run:
        return f"{run['status']}, {run['accepted']} accepted, {run['quarantined']} in quarantine"
    rows = max(run["rows"].values(), default=0)
    error = " ".join(run["error"].split())
    return f"fails ({error[:90]}...), {rows} rows visible" if error else f"succeeds, {rows} rows visible"


if __name__ == "__main__":
    sys.exit(main())
