"""One process that lands files in a lake through the Python API and says how long each run took."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processes import cpu_seconds, peaks

from carlake.lakehouse import Lakehouse
from carlake.refresh.report import RunReport
from carlake.settings import Settings


def main() -> None:
    """Do the runs and print them as one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", choices=("duckdb", "spark"), default="duckdb")
    parser.add_argument("--prepared", action="store_true", help="make the tables before the first timed run")
    parser.add_argument("--landing", action="store_true", help="copy the files into landing/ first; the run archives")
    parser.add_argument("--each", action="store_true", help="one run a file")
    arguments = parser.parse_args()
    paths = (
        [str(path) for path in expanded(arguments.paths)] if arguments.landing or arguments.each else arguments.paths
    )
    own = {"spark_master": f"local[{arguments.threads}]"} if arguments.engine == "spark" else {}
    settings = Settings(threads=arguments.threads, engine=arguments.engine, **own)
    with Lakehouse.create(arguments.lake, settings) as house:
        if arguments.prepared:
            house.run()
        if arguments.landing:
            for path in paths:
                shutil.copy2(path, house.lake.landing)
            runs = [timed(house, [])]
        else:
            runs = [timed(house, part) for part in ([[path] for path in paths] if arguments.each else [paths])]
        more = {"peaks": peaks(), "cpu_seconds": cpu_seconds()} if arguments.engine == "spark" else {}
    print(json.dumps({"runs": runs, **more}, default=str))


def expanded(paths: list[str]) -> Iterator[Path]:
    """The files, and those in the folders."""
    for path in map(Path, paths):
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def timed(house: Lakehouse, paths: list[str]) -> dict[str, Any]:
    """One run: the seconds that the call took, its CPU time on all threads, and its report."""
    started, worked = time.perf_counter(), time.process_time()
    report: RunReport = house.run(paths)
    took = {"call_seconds": time.perf_counter() - started, "call_cpu_seconds": time.process_time() - worked}
    return {**took, **asdict(report)}


if __name__ == "__main__":
    main()
