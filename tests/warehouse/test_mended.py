"""What is broken in a lake in a store is found and mended, as on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from carlake.engines.manifests import live_files
from carlake.errors import LakeError
from carlake.lakehouse import Lakehouse
from lakes import BRONZE, NOON, TODAY, expected, held, iceberg
from warehouse.lake_of_store import StoreLake, landed, trip

RECORDS = [trip(number, version) for number in range(6) for version in range(2)]
SILVER, STATE = "silver_car_telemetry", "gold_car_current_state"


@pytest.fixture
def filled(lake: StoreLake) -> StoreLake:
    with lake.open() as house:
        for number in range(2):
            lake.land(f"{number}.json", *RECORDS[number::2])
            assert house.run(today=TODAY).status == "succeeded"
    return lake


def mended(path: str | Path, lake: StoreLake, **more: object) -> list[str]:
    """Recover; gives the actions, once the lake holds again what was landed."""
    done = Lakehouse.recover(path, lake.settings(**more), clock=lambda: NOON)
    assert done.verification.problems == ()
    with Lakehouse.open(path, lake.settings(**more), clock=lambda: NOON) as house:
        house.run(today=TODAY)
        assert held(house) == expected(landed(*RECORDS), TODAY)
    found = Lakehouse.doctor(path, lake.settings(**more), deep=True)
    assert found.is_well("error"), found.findings
    return [step.action for step in done.steps]


def test_a_lake_that_is_well_is_found_well(filled: StoreLake) -> None:
    found = Lakehouse.doctor(filled.uri, filled.settings(), deep=True)
    assert (found.lake, [finding for finding in found.findings if finding.severity != "notice"]) == (filled.uri, [])
    with pytest.raises(LakeError, match="There is no lake"):
        Lakehouse.open(f"{filled.uri}/none", filled.settings())
    nothing = Lakehouse.doctor(f"{filled.uri}/none", filled.settings())
    assert {finding.check for finding in nothing.findings if finding.severity == "error"} == {"no-lake"}


def test_lost_and_damaged_files_of_tables_are_found_and_made_again(filled: StoreLake) -> None:
    tables = f"{filled.uri}/warehouse/carlake"
    with filled.open() as house:
        silver = iceberg(house, SILVER)
        lost = live_files(silver, silver.metadata.current_snapshot_id)[0].file_path
    filled.places.remove([lost])
    for found in filled.places.below(f"{tables}/{STATE}/metadata"):
        if found.path.endswith("-m0.avro"):
            filled.places.write(found.path, b"not avro")
    diagnosis = Lakehouse.doctor(filled.uri, filled.settings())
    named = {finding.check: finding.what for finding in diagnosis.findings}
    assert f"{lost} is missing" in named["data-damaged"]
    assert "is damaged" in named["manifest-damaged"] or "bytes long" in named["manifest-damaged"]
    assert {"remake"} <= set(mended(filled.uri, filled))


def test_bronze_is_put_together_from_its_files_and_the_archive(filled: StoreLake) -> None:
    files = [found.path for found in filled.places.below(f"{filled.uri}/warehouse/carlake/{BRONZE}/data")]
    filled.places.remove(files[:1])
    assert "bronze" in mended(filled.uri, filled)


def test_a_lost_catalog_of_a_lake_whose_tables_lie_in_a_store_is_made_anew(lake: StoreLake, small_folder: Path) -> None:
    own = small_folder / "lake"
    here = {"warehouse": f"{lake.uri}/tables", "catalog": "sqlite", "catalog_uri": None}
    with Lakehouse.create(own, lake.settings(**here), clock=lambda: NOON) as house:
        (own / "landing" / "a.json").write_text("\n".join(RECORDS))
        assert house.run(today=TODAY).status == "succeeded"
    (own / "catalog.db").unlink()
    # Never an empty catalog in the place of the lost one: the tables would begin anew, without what was landed.
    with pytest.raises(LakeError, match=rf"catalog.db is missing, but {lake.uri}/tables holds tables"):
        Lakehouse.open(own, lake.settings(**here)).run()
    assert "catalog" in mended(own, lake, **here)
