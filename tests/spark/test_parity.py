"""Lakes of the same input, by the embedded engine, and by it and Spark in turn: every table is the same, row for row."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from carlake.lakehouse import Lakehouse
from carlake.refresh.report import RunReport
from carlake.settings import Settings
from carlake.simulator.faults import FAULTS
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from contracts.shapes import SHAPES, changed, leaves, text
from contracts.test_duckdb_parse import ALIEN, ALIEN_RECORD, JUDGED
from lakes import (
    ALERTS,
    BRONZE,
    MODIFIED,
    MONTHLY,
    QUARANTINE,
    SILVER,
    STATE,
    bookmark,
    iceberg,
    lakehouse,
    nested,
    put,
    rows_of,
    truck,
)
from records.test_recovery import TEXTS
from spark.sessions import spark_settings

TABLES = (BRONZE, SILVER, QUARANTINE, STATE, MONTHLY, ALERTS)
ODD: list[Any] = [
    None,
    "",
    "x",
    -1,
    1e300,
    12.5,
    "12.5",
    True,
    [],
    {},
    "2025-13-01",
    "9999-12-31T23:59:59-05:00",
    0.0005,
]
RULES = "rules:\n  OVERHEAT_ENGINE:\n    above: {WARNING: 85, CRITICAL: 130}\n"
LATER = truck(
    'event_timestamp: {path: when, required: true, format: "%d/%m/%Y %H:%M", zone: UTC}',
    "trip_distance_km: driven",
    "engine_temp_celsius: engine",
)


class Story:
    """The same happens to each lake; `engines` says by what, run for run."""

    def __init__(self, folder: Path, name: str, engines: tuple[str, str, str]) -> None:
        self.folder, self.name, self.engines = folder, name, engines
        self.reports: list[RunReport] = []

    def open(self, engine: str, *, adopting: bool = False) -> Lakehouse:
        contracts = [self.folder / "alien.yaml", *([self.folder / "truck.yaml"] if adopting else [])]
        own: dict[str, Any] = {
            "contracts": tuple(contracts),
            "rules": (self.folder / "rules.yaml",) if adopting else (),
        }
        settings = spark_settings(**own) if engine == "spark" else Settings(threads=1, maintenance="off", **own)
        return lakehouse(self.folder / self.name, settings)

    def run(self, last: int) -> None:
        """All parts up to this one that have not been: each test may be the first of its process."""
        for part in range(len(self.reports), last + 1):
            engine = self.engines[part]
            if part < 2:
                with self.open(engine) as house:
                    self.reports.append(house.run([str(self.folder / f"part{part}")]))
            else:
                with self.open(engine, adopting=True) as house:
                    self.reports.append(house.rebuild())

    def rows(self, name: str) -> list[dict[str, Any]]:
        with self.open("duckdb", adopting=True) as house:
            return rows_of(house, name)


def everything(folder: Path) -> None:
    """What is landed: two parts, each with every form and every fault there is."""
    (folder / "alien.yaml").write_text(ALIEN)
    (folder / "truck.yaml").write_text(LATER)
    (folder / "rules.yaml").write_text(RULES)
    shares = {"bad": 0.2, "corrections": 0.15, "stale": 0.1, "duplicates": 0.1, "late": 0.2}
    write(Fleet(events=len(FAULTS) * 5, cars=5, **shares), folder / "part0", format="mixed")
    for number, (content, _) in enumerate(TEXTS.values()):
        put(folder / "part0" / f"broken{number:03d}.json", content)
    put(
        folder / "part0" / "odd.ndjson",
        *(text(changed(shape, path, value)) for shape in SHAPES for path in leaves(SHAPES[shape]) for value in ODD),
        json.dumps(ALIEN_RECORD),
        json.dumps(JUDGED),
        json.dumps({**ALIEN_RECORD, "At": {**ALIEN_RECORD["At"], "tilt": "steep"}}),
    )
    put(
        folder / "part0" / "trucks.ndjson",
        *(
            json.dumps({"truck": {"vin": f"T{n % 3}"}, "when": f"{n + 1:02d}/10/2025 08:00", "driven": n})
            for n in range(9)
        ),
        json.dumps({"truck": {"vin": ""}, "when": "01/10/2025 08:00"}),
    )
    # The same cars again: corrections of what is there, older versions, months and states that change.
    write(Fleet(events=120, cars=5, seed=7, **shares), folder / "part1", format="ndjson", files=3)
    put(
        folder / "part1" / "unicode.ndjson",
        *(nested(car, f"é{n}", f"2025-10-0{n + 1}T00:00:00Z", trip_distance_km=0.0005 + n, trip_fuel_consumed_liters=2.5)
          for car in ("\U0001f697", "\uffff", "A'%_") for n in range(3)),
        modified=MODIFIED + timedelta(days=1),
    )  # fmt: skip
    copy = next((folder / "part0").glob("fleet7-*.json"))
    put(folder / "part1" / "copy of one.json", copy.read_bytes())


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    folder = tmp_path_factory.mktemp("parity")
    everything(folder)
    return {
        "embedded": Story(folder, "embedded", ("duckdb", "duckdb", "duckdb")),
        "Spark begins": Story(folder, "Spark begins", ("spark", "duckdb", "spark")),
        "Spark goes on": Story(folder, "Spark goes on", ("duckdb", "spark", "duckdb")),
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """That a rebuild of all of it gives the same is for `make test-all`; of less, `test_engine` shows it every time."""
    if "part" in metafunc.fixturenames:
        parts = {"first": 0, "again": 1, "rebuild": 2}
        if metafunc.config.getoption("--matrix") != "all":
            del parts["rebuild"]
        metafunc.parametrize("part", parts.values(), ids=parts.keys())


def test_every_table_is_the_same(stories: dict[str, Story], part: int) -> None:
    """After each run, too: what one engine has left the other goes on from."""
    for story in stories.values():
        story.run(part)
    embedded, *others = stories.values()
    report = embedded.reports[part]
    assert report.status == "succeeded"
    for other in others:
        told = other.reports[part]
        counts = ("status", "records", "accepted", "quarantined", "duplicates", "files", "files_known", "problems")
        assert {name: getattr(told, name) for name in counts} == {name: getattr(report, name) for name in counts}
        steps = [(step.table, step.why, step.rows_in, step.rows_out, step.rows_removed) for step in told.steps]
        assert steps == [
            (step.table, step.why, step.rows_in, step.rows_out, step.rows_removed) for step in report.steps
        ]
        for name in TABLES:
            rows = embedded.rows(name)
            assert rows
            assert rows == other.rows(name), f"{name}, {other.name}"


def last_part(config: pytest.Config) -> int:
    """The part of the story that it ends with."""
    return 2 if config.getoption("--matrix") == "all" else 1


def test_nothing_is_left_over_and_all_is_found(stories: dict[str, Story], pytestconfig: pytest.Config) -> None:
    """One snapshot a refresh, the same definition in each bookmark, no branch, and files that are what their names say."""
    for story in stories.values():
        story.run(last_part(pytestconfig))
    kept = {}
    for story in stories.values():
        with story.open("duckdb", adopting=len(story.reports) > 2) as house:
            verified = house.verify(deep=True)
            assert (verified.problems, verified.behind) == ((), ()), story.name
            told = {}
            for name in TABLES:
                table, mark = iceberg(house, name), bookmark(house, name)
                assert mark is not None
                assert {ref for ref in table.metadata.refs if not ref.startswith("run_")} == {"main"}
                told[name] = (len(table.metadata.snapshots), table.metadata.last_sequence_number, mark.definition)
            kept[story.name] = told
    assert kept["Spark begins"] == kept["embedded"] == kept["Spark goes on"]


def test_each_run_says_what_computed_it(stories: dict[str, Story], pytestconfig: pytest.Config) -> None:
    last = last_part(pytestconfig)
    story = stories["Spark goes on"]
    story.run(last)
    with story.open("duckdb", adopting=True) as house:
        made = [
            snapshot.summary.additional_properties["carlake.engine"]
            for snapshot in iceberg(house, SILVER).metadata.snapshots
        ]
        assert made == ["duckdb", "spark", "duckdb"][: last + 1]
        ran = iceberg(house, "ops_runs").scan(selected_fields=("engine", "step", "started_at")).to_arrow().to_pylist()
        assert {row["engine"] for row in ran if row["step"] == SILVER} == {"duckdb", "spark"}
