"""What Spark fetches before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from carlake import lake as lakes
from carlake.engines.spark.session import RUNTIMES, context_conf
from carlake.settings import Settings


@pytest.mark.parametrize(("scheme", "library"), [("s3", "aws"), ("s3a", "aws"), ("gs", "gcp"), ("abfss", "azure")])
@pytest.mark.parametrize("version", ["4.1.4", "3.5.9"])
def test_a_lake_in_a_store_brings_the_library_of_the_store_of_icebergs_version(
    tmp_path: Path, scheme: str, library: str, version: str
) -> None:
    lake = replace(lakes.create(tmp_path / "lake"), warehouse_uri=f"{scheme}://fleet/lake/warehouse")
    packages = context_conf(Settings(), lake, version)["spark.jars.packages"].split(",")
    iceberg = RUNTIMES[version.rpartition(".")[0]].rpartition(":")[2]
    assert f"org.apache.iceberg:iceberg-{library}-bundle:{iceberg}" in packages


def test_a_local_lake_brings_none(tmp_path: Path) -> None:
    packages = context_conf(Settings(), lakes.create(tmp_path / "lake"), "4.1.4")["spark.jars.packages"]
    assert "bundle" not in packages
    assert packages.split(",")[0] == RUNTIMES["4.1"]
