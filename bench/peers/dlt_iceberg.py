"""What a user would write with dlt: new files of a folder appended to one Iceberg table, bronze only.

    dlt_iceberg.py FOLDER PATH...

Each PATH (a file, or a folder whose files are all taken) is copied into the landing folder, then there is one run.
Prints seconds and rows of each run as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
}

import dlt
from dlt.common.exceptions import DltException
from dlt.sources.filesystem import filesystem, read_jsonl

TABLE = "bronze_car_data"


def main(folder: Path, paths: list[str]) -> None:
    """Land and run, once a path."""
    landing = folder / "landing"
    landing.mkdir(parents=True, exist_ok=True)
    pipeline = dlt.pipeline(
        "fleet",
        pipelines_dir=str(folder / "state"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "lake").as_uri()),
        dataset_name="fleet",
    )
    runs = []
    for number, path in enumerate(map(Path, paths)):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            # A new time: dlt passes over a file that is older than the newest it has seen.
            shutil.copyfile(file, landing / f"{number:03d}-{file.name}")
        started, worked = time.perf_counter(), time.process_time()
        error = ""
        try:
            pipeline.run(landed(landing), table_format="iceberg", write_disposition="append")
        except DltException as failed:
            error = root_cause(failed)
        took = {"call_seconds": time.perf_counter() - started, "call_cpu_seconds": time.process_time() - worked}
        runs.append({**took, "error": error, "rows": {TABLE: rows(pipeline)}})
    print(json.dumps({"runs": runs}))


def root_cause(error: BaseException) -> str:
    """What dlt's own errors are wrapped around."""
    inner = error.__cause__
    return root_cause(inner) if inner else f"{type(error).__name__}: {error}"


def landed(landing: Path) -> dlt.sources.DltResource:
    """The records of files that no run has seen, nested blocks as JSON."""
    files = filesystem(bucket_url=landing.as_uri(), file_glob="*.ndjson")
    files.apply_hints(incremental=dlt.sources.incremental("modification_date"))
    resource = (files | read_jsonl()).with_name(TABLE)
    resource.max_table_nesting = 0
    return resource


def rows(pipeline: dlt.Pipeline) -> int:
    """Rows of the Iceberg table."""
    from dlt.common.libs.pyiceberg import get_iceberg_tables

    try:
        return int(get_iceberg_tables(pipeline, TABLE)[TABLE].scan().count())
    except (KeyError, ValueError, DltException):
        return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
