"""Landing on Spark: the workers read what the embedded engine would read, and say the same of what they cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from carlake.engines.spark import landing
from carlake.engines.spark.landing_task import Outcome
from carlake.errors import CarlakeError
from carlake.lakehouse import Lakehouse
from carlake.landing.landed import LandedObject
from carlake.landing.listing import list_paths
from carlake.refresh.land import Batch, land
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from lakes import BRONZE, MODIFIED, heads, iceberg, lakehouse, nested, put, rows_of
from spark.sessions import spark_settings


def event(name: str, car: str = "A") -> str:
    return nested(car, name, "2025-10-01T00:00:00Z")


def listed(folder: Path) -> list[LandedObject]:
    return list(list_paths([str(folder)]).objects)


def landed(house: Lakehouse, objects: Sequence[LandedObject], *, shared: bool = False) -> Batch:
    """Land objects, and refresh no other table."""
    context = house.context()
    with context.engine.session():
        return land(context, objects, shared=shared)


def said(batch: Batch) -> dict[str, tuple[str, str]]:
    return {Path(problem.uri).name: (problem.why, problem.advice) for problem in batch.problems}


@pytest.fixture
def on_spark(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "spark", spark_settings()) as house:
        yield house


@pytest.fixture
def embedded(small_folder: Path) -> Iterator[Lakehouse]:
    with lakehouse(small_folder / "embedded", Settings(threads=1, maintenance="off")) as house:
        yield house


def test_both_engines_land_the_same_rows(on_spark: Lakehouse, embedded: Lakehouse, small_folder: Path) -> None:
    """Every form and every fault, small objects and long ones, and objects that cannot be read."""
    inbox = small_folder / "in"
    write(Fleet(events=400, cars=6, flat=0.2, bad=0.2, duplicates=0.1), inbox, files=40, format="mixed")
    put(inbox / "empty.json", "")
    put(inbox / "long.ndjson", *(event(f"long-{number}") for number in range(9000)))
    for name in ("changes.json", "goes.json"):
        put(inbox / name, event(name))
    objects = listed(inbox)
    put(inbox / "changes.json", event("another"), modified=MODIFIED + timedelta(1))
    (inbox / "goes.json").unlink()
    (inbox / "goes.json").mkdir()
    first, second = landed(on_spark, objects), landed(embedded, objects)
    assert rows_of(on_spark, BRONZE) == rows_of(embedded, BRONZE) and first.records > 9400
    assert (first.ids, first.known, first.records) == (second.ids, second.known, second.records)
    assert said(first) == said(second) and set(said(first)) == {"changes.json", "goes.json"}
    kinds = [iceberg(house, BRONZE).current_snapshot().summary for house in (on_spark, embedded)]
    own = [{k: s.additional_properties[k] for k in ("carlake.kind", "carlake.records", "carlake.files")} for s in kinds]
    assert own[0] == own[1]
    before = heads(on_spark)
    again = landed(on_spark, objects)
    assert (again.spared + again.known, again.records, heads(on_spark)) == (len(objects) - 2, 0, before)


def test_of_equal_contents_the_oldest_is_landed_and_known_ones_add_nothing(
    on_spark: Lakehouse, small_folder: Path
) -> None:
    inbox = small_folder / "in"
    for days, name in enumerate(("c", "a", "b")):
        put(inbox / f"{name}.json", event("same"), modified=MODIFIED + timedelta(days))
    batch = landed(on_spark, listed(inbox))
    assert [Path(row["source_uri"]).name for row in rows_of(on_spark, BRONZE)] == ["c.json"]
    assert (len(batch.ids), batch.known) == (3, 2)
    before = heads(on_spark)
    put(inbox / "d.json", event("same"), modified=MODIFIED - timedelta(1))
    assert landed(on_spark, listed(inbox)).known == 3 and heads(on_spark) == before


def test_a_refused_commit_is_sent_again_without_reading_again(
    on_spark: Lakehouse, embedded: Lakehouse, small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process lands something else, then the same, between the reading and the commit."""
    jobs = counted(monkeypatch)
    one, other = put(small_folder / "one.json", event("one")), put(small_folder / "other.json", event("other"))
    neighbour = lakehouse(small_folder / "spark", Settings(threads=1, maintenance="off"))
    with neighbour:
        meanwhile(monkeypatch, [lambda: neighbour.run([str(other)])])
        batch = landed(on_spark, listed(one))
        assert (batch.step.status, batch.step.refusals, jobs) == ("succeeded", 1, ["HashTask", "ReadTask"])
        assert [Path(row["source_uri"]).name for row in sorted_rows(on_spark)] == ["one.json", "other.json"]

        two, copy = put(small_folder / "two.json", event("two")), put(small_folder / "copy.json", event("two"))
        meanwhile(monkeypatch, [lambda: neighbour.run([str(copy)])])
        batch = landed(on_spark, listed(two))
        assert (batch.step.status, batch.known, batch.records) == ("skipped", 1, 0)
        assert [Path(row["source_uri"]).name for row in sorted_rows(on_spark)] == [
            "copy.json",
            "one.json",
            "other.json",
        ]
    named = {task.file.file_path.removeprefix("file://") for task in iceberg(on_spark, BRONZE).scan().plan_files()}
    assert files_of(on_spark) == named, "what was refused for good left no file"


def sorted_rows(house: Lakehouse) -> list[dict[str, Any]]:
    return sorted(rows_of(house, BRONZE), key=lambda row: str(row["source_uri"]))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that Spark is given."""
    given: list[str] = []
    real = landing.run_tasks

    def run_tasks(session: Any, task: Any) -> Outcome:
        given.append(type(task).__name__)
        return real(session, task)

    monkeypatch.setattr(landing, "run_tasks", run_tasks)
    return given


def meanwhile(monkeypatch: pytest.MonkeyPatch, acts: list[Any]) -> None:
    """Lets another process act once a snapshot is staged, and before it is committed."""
    real = landing.SparkBatch.stage

    def stage(batch: landing.SparkBatch, *args: Any) -> Any:
        staged = real(batch, *args)
        if acts:
            acts.pop()()
        return staged

    monkeypatch.setattr(landing.SparkBatch, "stage", stage)


def files_of(house: Lakehouse) -> set[str]:
    data = house.lake.warehouse / house.settings.namespace / BRONZE / "data"
    return {str(path) for path in data.rglob("*.parquet")}


def test_a_worker_that_cannot_write_fails_the_landing_in_words(on_spark: Lakehouse, small_folder: Path) -> None:
    inbox = small_folder / "in"
    put(inbox / "a.json", event("a"))
    on_spark.context().load(BRONZE)
    data = on_spark.lake.warehouse / on_spark.settings.namespace / BRONZE / "data"
    data.write_text("no folder")
    with pytest.raises(CarlakeError) as caught:
        landed(on_spark, listed(inbox))
    assert "Spark did not read the objects to land: " in caught.value.what and str(data) in caught.value.what
    assert "\n" not in caught.value.what and "Traceback" not in caught.value.what
    data.unlink()
    assert landed(on_spark, listed(inbox)).records == 1 and len(rows_of(on_spark, BRONZE)) == 1


def test_forgotten_cars_and_pseudonyms_hold_in_the_workers(small_folder: Path) -> None:
    inbox, key = small_folder / "in", small_folder / "key"
    key.write_text("ab" * 32)
    put(inbox / "A.json", event("a1"), event("b1", "B"), '{"broken": "A"', modified=MODIFIED + timedelta(1))
    put(inbox / "B.json", event("b2", "B"))
    for own in ({}, {"pseudonym_key_file": key}):
        held = []
        for engine in (Settings(threads=1, maintenance="off", **own), spark_settings(**own)):
            root = small_folder / f"{engine.engine}{len(own)}"
            with lakehouse(root, Settings(threads=1, maintenance="off", **own)) as house:
                house.run([str(put(small_folder / "first.json", event("a0"), event("b0", "B")))])
                house.forget("A")
            with lakehouse(root, engine) as house:
                batch = landed(house, listed(inbox))
                assert (batch.records, batch.forgotten) == (4, 2)
                held.append([(r["source_row"], r["raw"], r["record_hash"]) for r in rows_of(house, BRONZE)])
        assert sorted(map(str, held[0])) == sorted(map(str, held[1]))
        texts = " ".join(str(raw) for _, raw, _ in held[1])
        assert "b2" in texts and '"A"' not in texts and ('"B"' in texts) is not bool(own)
