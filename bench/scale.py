"""`make bench-scale`: what bounds each part, as laws fitted to measurements at three sizes. CPU seconds, not the clock's."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from figures import footer, paste
from fits import Fit, fit, table
from inputs import fleet
from measure import compile_bytecode, machine, measured, script
from session import Bench

OUT = Path(__file__).parent / "out"
SIZES = (10_000, 100_000, 1_000_000)
MOST_DRIFT = 0.5
"""A law that is further from a measurement than this share is not quoted without saying so."""


def main() -> int:
    """Measure, fit, print; gives the exit code."""
    options = _options()
    bench = Bench(max(options.events), 1, 1, options.threads, options.out.resolve())
    return bench.run(lambda: _measure(bench, options))


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    about = {**machine(), "events": options.events, "threads": options.threads}
    started = time.time()
    compile_bytecode()
    bench.say("metadata: snapshots kept, files in a table, snapshots expired")
    metadata = measured(script("scale_metadata.py", bench.work)).answer
    rows = [_rows(bench, events) for events in options.events]
    laws = [*_of_metadata(metadata), *_of_rows(rows)]
    about["seconds"] = round(time.time() - started, 1)
    found = {"about": about, "laws": [law.document() for law in laws], "tables": rows[-1]["tables"]}
    written = json.dumps(found, indent=2)
    (bench.out / "scale.json").write_text(written + "\n", encoding="utf-8")
    text = f"{table(laws)}\n\n{_tables(rows[-1])}\n\n{footer(about)}"
    print(written if options.json else text)
    if options.page:
        paste(options.page, "scale", text)


def _rows(bench: Bench, events: int) -> dict[str, Any]:
    """One size: a lake of so many events, landed by a process of its own, and what its rows cost afterwards."""
    source = bench.input(fleet(events))
    lake = bench.new_lake()
    bench.say(f"landing {events:,} events")
    landed = bench.landed(lake, source)
    bench.say("keys, files and corrections in it")
    found = measured(script("scale_rows.py", lake, "--threads", bench.threads)).answer
    bench.drop(lake)
    return {"events": events, "landing": landed.cpu_seconds, "memory": landed.peak_bytes, "input": source.size, **found}


def _of_metadata(found: dict[str, Any]) -> list[Fit]:
    def points(what: str, of: str) -> list[tuple[float, float]]:
        return [(each["x"], each[of]) for each in found[what]]

    ms: dict[str, Any] = {"unit": "ms", "scale": 1e3}
    return [
        fit("commit", "CPU of a commit", "snapshots kept", points("snapshots", "cpu"), **ms),
        fit("metadata file", "bytes", "snapshots kept", points("snapshots", "bytes"), unit="B"),
        fit("expiry", "CPU of an expiry", "snapshots that go", points("expiry", "cpu"), **ms),
        fit("manifests", "bytes", "data files", points("files", "bytes"), unit="B"),
        fit("planning, cold", "CPU to read the manifests", "data files", points("files", "read"), **ms),
        fit("planning, memory", "bytes of the planner", "data files", points("files", "memory"), unit="B"),
        fit("planning, pruning", "CPU for 1,000 keys", "data files", points("files", "prune"), **ms),
        fit("replacing a file", "CPU of the commit", "files in its manifest", points("manifest", "replace"), **ms),
        fit("replacing a file of many", "CPU of the commit", "data files", points("files", "replace"), **ms),
    ]


def _of_rows(rows: list[dict[str, Any]]) -> list[Fit]:
    def points(what: str, x: str = "rows") -> list[tuple[float, float]]:
        return [(row[what][x], row[what]["cpu"]) for row in rows]

    sizes = [(row["events"], float(sum(table["bytes"] for table in row["tables"].values()))) for row in rows]
    return [
        fit("landing", "CPU, landing to gold", "events", [(row["events"], row["landing"]) for row in rows]),
        fit("bytes", "bytes of all tables", "events", sizes, unit="B"),
        fit("look-up", "CPU for 1,000 keys", "rows of the table", points("lookup")),
        fit("writing anew", "CPU of a compaction", "rows in its files", points("rewrite")),
        fit("correction", "CPU of 1,000 corrections", "rows in the files they touch", points("correction")),
        fit("difference", "CPU", "rows in the files that changed", points("diff")),
    ]


def _tables(row: dict[str, Any]) -> str:
    lines = [
        f"After {row['events']:,} events ({row['input'] / 1e9:.2f} GB of NDJSON), peak memory {row['memory'] / 1e9:.2f} GB:"
    ]
    for name, told in row["tables"].items():
        each = told["bytes"] / row["events"]
        lines.append(f"    {name:<30}{told['rows']:>12,} rows  {told['files']:>5} files  {each:>8.1f} bytes an event")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/scale.py", description=__doc__)
    parser.add_argument(
        "--events", type=int, nargs="+", default=list(SIZES), help=f"sizes of lakes [{' '.join(map(str, SIZES))}]"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of DuckDB [2]")
    parser.add_argument("--json", action="store_true", help="print the JSON")
    parser.add_argument("--out", type=Path, default=OUT, help="where inputs are kept and scale.json goes [bench/out]")
    parser.add_argument("--page", type=Path, help="put what is printed into this page too, as `docs/scale.md` has it")
    options = parser.parse_args()
    if len(set(options.events)) < 3 or min(options.events) < 2_000:
        parser.error("three sizes or more, each of 2000 events at least")
    return options


if __name__ == "__main__":
    sys.exit(main())
