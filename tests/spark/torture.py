"""`make torture-spark`: Spark runs killed in numbers, beside a watch. `make parity-files`: real files through both engines.

make torture-spark ARGS="--kills 20 --seed 3"
make parity-files CARLAKE_FILES=folder
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Do what was asked for, and tell. Exit code 1 if anything was wrong."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    asked = argparse.ArgumentParser(description="Both engines on one lake, or on one input.")
    asked.add_argument("--kills", type=int, default=10, help="so many Spark runs are killed")
    asked.add_argument("--seed", type=int, default=0, help="other moments than those of 0")
    asked.add_argument("--files", type=Path, help="take these files in by both engines in place of that")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="carlake-spark-") as folder:
        if given.files is not None:
            wrong = compare(given.files, Path(folder))
        else:
            from spark.kills import kill_spark

            outcome = kill_spark(Path(folder), given.kills, given.seed)
            wrong = outcome.problems
            print(
                f"{outcome.kills} killed, {outcome.ended} had ended, {outcome.trickle} objects by the watch; {len(wrong)} wrong"
            )
    for each in wrong[:20]:
        print(f"WRONG {each}")
    return 1 if wrong else 0


def compare(files: Path, folder: Path) -> list[str]:
    """What differs between the lakes that both engines make of a folder of files."""
    from carlake.settings import Settings
    from lakes import BRONZE, QUARANTINE, expected, lakehouse, rows_of
    from spark.sessions import spark_settings

    if not any(path.is_file() for path in files.rglob("*")):
        return [f"{os.fspath(files)} holds no files"]
    found = {}
    for name, settings in (("embedded", Settings(threads=1)), ("spark", spark_settings())):
        with lakehouse(folder / name, settings) as house:
            report = house.run([str(files)])
            print(
                f"{name}: {report.files} files, {report.records} records, {report.accepted} accepted, {report.quarantined} not"
            )
            found[name] = {table: rows_of(house, table) for table in (BRONZE, QUARANTINE, *expected([]))}
    embedded, on_spark = found["embedded"], found["spark"]
    return [
        f"{table}: {len(rows)} rows by the embedded engine, {len(on_spark[table])} by Spark, or other values"
        for table, rows in embedded.items()
        if rows != on_spark[table]
    ]


if __name__ == "__main__":
    sys.exit(main())
