"""Glue by the shape of its API alone.

The server here is moto's. It does not check the version that a commit names, so two writers can both succeed on it:
nothing is shown about concurrency, which on AWS rests on Glue's own check.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from carlake.settings import Settings
from carlake.storage.checksums import recorded
from lakes import MODIFIED, STATE, expected, held, iceberg, lakehouse, nested, put
from servers.shared import Servers


def test_the_flow_on_glue(servers: Servers, small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.moto.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_DEFAULT_REGION")  # AWS_REGION alone, as on AWS's own services
    monkeypatch.setenv("AWS_CONFIG_FILE", str(small_folder / "none"))
    settings = Settings(
        threads=1,
        catalog="glue",
        catalog_properties={"glue.endpoint": servers.moto.endpoint},
        namespace="flow_on_glue",
        maintenance="off",
    )
    records = [nested("A", f"e{n}", "2025-10-01T00:00:00Z", f"2025-10-0{n + 2}T00:00:00Z") for n in range(3)]
    with lakehouse(small_folder / "lake", settings) as house:
        for number, record in enumerate(records):
            put(house.lake.landing / f"{number}.json", record)
            assert house.run().status == "succeeded"
        assert held(house) == expected([(record, MODIFIED) for record in records])
        assert house.verify(deep=True).problems == ()
        # What is committed is named by its content, as in every catalog that leaves the writing to its clients.
        assert recorded(iceberg(house, STATE).metadata_location) is not None
    tables = servers.moto.client("glue").get_tables(DatabaseName="flow_on_glue")["TableList"]
    assert {table["Parameters"]["table_type"] for table in tables} == {"ICEBERG"}
