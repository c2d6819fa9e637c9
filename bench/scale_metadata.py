"""What metadata costs, whatever the rows: snapshots that are kept, data files that a table has, snapshots that expire.

Run in a process of its own; prints JSON. Data files are described and not written, for no law here reads one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable

from carlake.engines.bounds import admitting
from carlake.engines.manifests import forget_cached, live_files, manifests_of
from carlake.engines.protocol import Staged
from carlake.engines.snapshots import stage_snapshot
from carlake.lakehouse import Lakehouse
from carlake.refresh import commit as commits
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from carlake.tables.declare import SILVER
from carlake.upkeep.maintenance.expiry import expire

SNAPSHOTS = (20, 100, 500)
FILES = (1_000, 4_000, 16_000)
IN_A_MANIFEST = (50, 150, 450)
EXPIRED = (10, 50, 250)
KEYS = 1_000
REPEATS = 9


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    folder = Path(tempfile.mkdtemp(prefix="metadata-", dir=parser.parse_args().out))
    try:
        json.dump(
            {
                "snapshots": kept(folder / "a"),
                "files": files(folder / "b", FILES),
                "manifest": files(folder / "d", IN_A_MANIFEST),
                "expiry": expiry(folder / "c"),
            },
            sys.stdout,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kept(folder: Path) -> list[dict[str, Any]]:
    """One commit, by the number of snapshots that the metadata has."""
    found = []
    with small_lake(folder) as house:
        for number in SNAPSHOTS:
            while len(loaded(house).metadata.snapshots) < number:
                publish(house, empty(loaded(house)))

            def once() -> None:
                publish(house, empty(loaded(house)))

            found.append(
                {"x": number + REPEATS / 2, "cpu": cpu(once), "bytes": Path(local(loaded(house))).stat().st_size}
            )
    return found


def files(folder: Path, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """One commit that replaces one file, and finding files, by the number of files that the table has."""
    return [_files(folder / str(number), number) for number in numbers]


def _files(folder: Path, number: int) -> dict[str, Any]:
    with small_lake(folder) as house:
        first = loaded(house)
        real = live_files(first, first.metadata.current_snapshot_id)[0]
        cars = first.schema().find_field("car_chassis").field_id
        publish(house, staged(first, [described(real, at, cars) for at in range(number)], []))
        iceberg = loaded(house)
        keys = sorted(f"CAR{at * 37 % (number * 50):09d}" for at in range(KEYS))

        def read() -> list[DataFile]:
            forget_cached()
            return live_files(iceberg, iceberg.metadata.current_snapshot_id)

        tracemalloc.start()
        live = read()
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()

        more = count(90_000_000)

        def replace_one() -> None:
            table = loaded(house)
            live = live_files(table, table.metadata.current_snapshot_id)
            one = next(file for file in live if "/00000-0" in file.file_path)
            publish(house, staged(table, [described(real, next(more), cars)], [one]))

        manifests = manifests_of(iceberg.io, iceberg.current_snapshot())
        return {
            "x": number,
            "read": cpu(read, 3),
            "prune": cpu(lambda: admitting(live, iceberg, "car_chassis", keys), 3),
            "replace": cpu(replace_one, 3),
            "memory": memory,
            "bytes": sum(manifest.manifest_length for manifest in manifests),
        }


def expiry(folder: Path) -> list[dict[str, Any]]:
    """One expiry, by the number of snapshots that go; as many again stay as maintenance keeps."""
    found = []
    with small_lake(folder) as house:
        for number in EXPIRED:
            while len(loaded(house).metadata.snapshots) < number + 20:
                publish(house, empty(loaded(house)))
            going = [s.snapshot_id for s in sorted(loaded(house).metadata.snapshots, key=lambda s: s.sequence_number)][
                :number
            ]
            # No tag holds what is expired here.
            context = house.context(trigger="maintain")

            def once(going: list[int] = going, context: Any = context) -> None:
                with context.engine.session():
                    expire(context, SILVER, going, house.lake.scratch, 20)

            found.append({"x": number, "cpu": cpu(once, 1)})
    return found


@contextmanager
def small_lake(folder: Path) -> Iterator[Lakehouse]:
    """A lake with a few events, without tags and without maintenance of its own."""
    write(Fleet(events=50, cars=2), folder / "files")
    settings = Settings(threads=1, maintenance="off", releases_kept=0)
    with Lakehouse.create(folder / "lake", settings) as house:
        house.run([str(folder / "files")])
        yield house


def loaded(house: Lakehouse) -> IcebergTable:
    """Silver, as the catalog has it now."""
    return house.catalog.load_table(f"{house.settings.namespace}.{SILVER}")


def local(iceberg: IcebergTable) -> str:
    """The path of the table's metadata file."""
    return str(iceberg.metadata_location).removeprefix("file://")


def empty(iceberg: IcebergTable) -> Staged:
    """A snapshot that changes no row, as one that advances a bookmark."""
    return staged(iceberg, [], [])


def staged(iceberg: IcebergTable, added: list[DataFile], removed: list[DataFile]) -> Staged:
    """A snapshot on main, with the properties that it has there."""
    head = iceberg.current_snapshot()
    properties = {k: v for k, v in head.summary.additional_properties.items() if k.startswith("carlake.")}
    rows_added, rows_removed = sum(f.record_count for f in added), sum(f.record_count for f in removed)
    made = stage_snapshot(
        iceberg,
        SILVER,
        added,
        removed,
        properties,
        base=head.snapshot_id,
        rows_added=rows_added,
        rows_removed=rows_removed,
    )
    return Staged(made.table, made.base, made.snapshot_id, made.updates, made.rows_added, made.rows_removed)


def publish(house: Lakehouse, made: Staged) -> None:
    """Commit it."""
    commits.commit(house.catalog, loaded(house), made)


def described(real: DataFile, number: int, field: int) -> DataFile:
    """A file of fifty cars, as a real one is described, under a name of its own; `field` is the cars' column."""
    file = DataFile.from_args(
        content=real.content,
        file_path=f"{real.file_path.rpartition('/')[0]}/00000-{number:08d}-{real.file_path[-44:]}",
        file_format=real.file_format,
        partition=real.partition,
        record_count=real.record_count,
        file_size_in_bytes=real.file_size_in_bytes,
        column_sizes=real.column_sizes,
        value_counts=real.value_counts,
        null_value_counts=real.null_value_counts,
        nan_value_counts=real.nan_value_counts,
        lower_bounds=real.lower_bounds | {field: f"CAR{number * 50:09d}".encode()},
        upper_bounds=real.upper_bounds | {field: f"CAR{number * 50 + 49:09d}".encode()},
        split_offsets=real.split_offsets,
        sort_order_id=real.sort_order_id,
    )
    file.spec_id = real.spec_id
    return file


def cpu(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median CPU seconds of one time."""
    took = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return statistics.median(took)


if __name__ == "__main__":
    main()
