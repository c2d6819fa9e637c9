"""Eight processes on one catalog, of each kind: it is made once, and nothing is lost or there twice."""

from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carlake import lake as lakes
from carlake.settings import Settings
from carlake.simulator.files import write
from carlake.simulator.fleet import Fleet
from catalogs.work import open_together, run_together
from lakes import TODAY, held, lakehouse
from model import model
from servers.shared import Servers

SPAWN = multiprocessing.get_context("spawn")
WRITERS = 8
FLEET = Fleet(events=160, cars=6, flat=0.3, snapshot=0.2, duplicates=0.1, corrections=0.15, stale=0.1, bad=0.1)
AtOnce = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def at_once() -> Iterator[AtOnce]:
    """Runs a function in eight processes, which are started once, at the same moment."""
    with SPAWN.Manager() as manager, ProcessPoolExecutor(WRITERS, SPAWN) as executor:
        barrier = manager.Barrier(WRITERS)

        def run(function: Callable[..., Any], *common: Any, each: list[tuple[Any, ...]] | None = None) -> list[Any]:
            own = each or [()] * WRITERS
            running = [executor.submit(function, barrier, *common, *more) for more in own]
            return [one.result(timeout=600) for one in running]

        yield run


@pytest.fixture(params=["sqlite", "postgres", "rest"])
def settings(request: pytest.FixtureRequest, servers: Servers) -> dict[str, Any]:
    """Settings of a catalog that holds nothing."""
    own = f"races_{uuid.uuid4().hex[:12]}"
    plain = {"threads": 1, "maintenance": "off"}
    if request.param == "postgres":
        return {**plain, "catalog": "postgres", "catalog_uri": servers.postgres.database(own)}
    if request.param == "rest":
        return {**plain, "catalog": "rest", "catalog_uri": servers.rest.uri, "namespace": own}
    return plain


def test_eight_writers_lose_nothing_and_double_nothing(
    at_once: AtOnce, settings: dict[str, Any], small_folder: Path
) -> None:
    """Each has files of its own and files that all have; the catalog and the tables are made in the race too."""
    simulated = write(FLEET, small_folder / "in", files=WRITERS + 4)
    paths = [str(path) for path in simulated.paths]
    shared, own = paths[WRITERS:], paths[:WRITERS]
    lakes.create(small_folder / "lake")
    outcomes = at_once(run_together, str(small_folder / "lake"), settings, each=[([path, *shared],) for path in own])
    assert outcomes == [("succeeded", [])] * WRITERS
    with lakehouse(small_folder / "lake", Settings(**settings)) as house:
        house.run()
        objects = [(path.read_bytes(), datetime.fromtimestamp(path.stat().st_mtime, UTC)) for path in simulated.paths]
        assert held(house) == model(objects, TODAY)
        verified = house.verify()
        assert (verified.problems, verified.behind, verified.pending) == ((), (), 0)
        assert (verified.files, verified.records) == (simulated.contents, simulated.records)


def test_eight_processes_make_a_catalog_once(at_once: AtOnce, settings: dict[str, Any], small_folder: Path) -> None:
    lakes.create(small_folder / "lake")
    namespace = settings.get("namespace", "carlake")
    answers = at_once(open_together, str(small_folder / "lake"), settings)
    assert all((namespace,) in answer for answer in answers), answers
