"""One task of a landing on Spark, as a worker does it, without Spark."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from carlake.engines import landed_objects
from carlake.engines.protocol import Reading
from carlake.engines.spark import landing
from carlake.engines.spark.file_sets import bare
from carlake.engines.spark.landing_task import Outcome, ReadTask, in_batches
from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from carlake.landing.forgotten import Screen, Tombstones
from carlake.landing.landed import LandedObject
from carlake.landing.listing import list_paths
from carlake.refresh.land import hints
from lakes import BRONZE, MODIFIED, NOON, iceberg, lakehouse, nested, put


def event(name: str) -> str:
    return nested("A", name, "2025-10-01T00:00:00Z")


def listed(folder: Path) -> list[LandedObject]:
    return list(list_paths([str(folder)]).objects)


def files_of(house: Lakehouse) -> set[str]:
    data = house.lake.warehouse / house.settings.namespace / BRONZE / "data"
    return {str(path) for path in data.rglob("*.parquet")}


@pytest.fixture
def embedded(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "lake") as house:
        yield house


def test_objects_are_packed_for_tasks_by_size() -> None:
    def objects(sizes: Iterable[int]) -> list[LandedObject]:
        return [LandedObject(f"/in/{number}", size, MODIFIED, "") for number, size in enumerate(sizes)]

    sizes = [[each.size for each in part] for part in landing.parts_of(objects([1, 2, landing.TASK_BYTES * 3, 4, 5]))]
    assert sizes == [[1, 2], [landing.TASK_BYTES * 3], [4, 5]]
    assert [len(part) for part in landing.parts_of(objects([10] * 2500))] == [1000, 1000, 500]


def task_of(house: Lakehouse, objects: Sequence[LandedObject]) -> ReadTask:
    context = house.context()
    context.load(BRONZE)
    screen = Screen(context.contracts, Tombstones(), 1 << 24)
    table = iceberg(house, BRONZE)
    return ReadTask(
        [objects],
        {each.uri: landed_objects.identify([each]).ids[each.uri] for each in objects},
        house.declared[BRONZE],
        bare(table.metadata),
        table.io.properties,
        Reading(NOON, hints(context.contracts), screen, 1 << 24),
        "named-",
    )


def done(task: ReadTask) -> Outcome:
    [batch] = in_batches(task, iter([pa.record_batch([pa.array([0])], names=["id"])]))
    return Outcome.of(list(zip(*(column.to_pylist() for column in batch.columns), strict=True)))


def test_an_object_that_breaks_off_in_a_worker_leaves_no_row(
    embedded: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = small_folder / "in"
    put(inbox / "a.json", event("a"), event("a2"))
    put(inbox / "b.ndjson", *(event(f"b{number}") for number in range(40_000)))
    put(inbox / "c.json", event("c"))
    task = task_of(embedded, listed(inbox))
    split = landed_objects.split

    def split_and_change(stream: Any, **options: Any) -> Iterator[Any]:
        for number, batch in enumerate(split(stream, **options)):
            yield batch
            if number == 4:
                os.utime(stream.name)

    monkeypatch.setattr(landed_objects, "split", split_and_change)
    outcome = done(task)
    [unread] = outcome.identified.unread
    assert (Path(unread.unreadable.uri).name, unread.unreadable.why) == ("b.ndjson", "changed while it was read")
    assert outcome.records == 3 and sum(file.footer.num_rows for file in outcome.written) == 3
    assert files_of(embedded) == {file.location.removeprefix("file://") for file in outcome.written}
    assert all("named-" in file.location for file in outcome.written)


def test_an_object_whose_content_changed_under_its_listing_is_not_landed_by_its_old_name(
    embedded: Lakehouse, small_folder: Path
) -> None:
    """Nothing of the listing tells of it: only the hash, which names the content that bronze would say it has."""
    inbox = small_folder / "in"
    put(inbox / "a.json", event("a"))
    put(inbox / "b.json", event("b"))
    task = task_of(embedded, listed(inbox))
    ids = {uri: "0" * 64 if uri.endswith("a.json") else source_id for uri, source_id in task.ids.items()}
    outcome = done(ReadTask(**{**vars(task), "ids": ids}))
    assert [Path(error.unreadable.uri).name for error in outcome.identified.unread] == ["a.json"]
    assert outcome.records == 1


def test_a_task_that_fails_leaves_no_file(
    embedded: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = small_folder / "in"
    put(inbox / "a.ndjson", *(event(f"a{number}") for number in range(40_000)))
    put(inbox / "b.json", event("b"))
    task = task_of(embedded, listed(inbox))
    before = files_of(embedded)
    monkeypatch.setattr("carlake.engines.spark.landing_task.settle", lambda: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        done(task)
    assert files_of(embedded) == before


def test_what_other_tasks_wrote_goes_when_one_fails(
    embedded: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark tells of no task once one has failed; their files are known by the name of the landing."""
    put(small_folder / "first.json", event("first"))
    embedded.run([str(small_folder / "first.json")])
    before = files_of(embedded)
    put(small_folder / "in" / "a.json", event("a"))
    task = task_of(embedded, listed(small_folder / "in"))

    def one_is_done_and_another_fails(session: object, given: ReadTask) -> Outcome:
        assert done(given).records == 1 and len(files_of(embedded)) == len(before) + 1
        raise LakeError("Spark did not read the objects.")

    monkeypatch.setattr(landing, "run_tasks", one_is_done_and_another_fails)
    context = embedded.context()
    spark = landing.SparkLanding(None, context.load)  # type: ignore[arg-type]
    new = {source_id: each for each in task.parts[0] for source_id in [task.ids[each.uri]]}
    with pytest.raises(LakeError):
        spark.read(embedded.declared[BRONZE], new, task.reading, lambda size: None)
    assert files_of(embedded) == before
