"""A car is forgotten in tables that lie in a store: in what they refer to, in what they did, and in older versions."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from carlake.errors import LakeError
from lakes import TODAY, expected, held
from servers.versitygw import Server
from warehouse.lake_of_store import StoreLake, landed, trip

CAR = "car3"


def mentions(server: Server, lake: StoreLake) -> Iterator[str]:
    """Every version of every object of the lake that names the car."""
    client, bucket = server.client(), lake.uri.split("/")[2]
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for each in page.get("Versions", ()):
            body = client.get_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])["Body"].read()
            if body.startswith(b"PAR1"):
                body = str(pq.read_table(io.BytesIO(body)).to_pydict()).encode() + body
            if CAR.encode() in body:
                yield f"{each['Key']} {each['VersionId']}"


def test_a_car_is_gone_from_every_file_of_the_tables_and_every_version(lake: StoreLake, server: Server) -> None:
    key = lake.folder / "tombstone.key"
    records = [trip(number, version) for version in range(2) for number in range(10)]
    with lake.open(tombstone_key_file=key) as house:
        for number in range(2):
            lake.land(f"{number}.json", *records[number::2])
            assert house.run(today=TODAY).status == "succeeded"
        # Of a process that died: bronze's file of a commit that never was.
        [bronze, *_] = [found.path for found in lake.places.below(f"{lake.uri}/warehouse/carlake/bronze_car_data/data")]
        lake.places.write(bronze.replace(".parquet", "-stray.parquet"), lake.places.read(bronze))
        assert len(list(mentions(server, lake))) > 5
        done = house.forget(CAR)
        assert (done.left, done.proved, done.ok) == ((), True, True)
        assert list(mentions(server, lake)) == []
        others = [record for record in records if CAR not in record]
        assert held(house) == expected(landed(*others), TODAY)
        assert house.verify(deep=True).ok


def test_what_lies_among_the_tables_and_is_not_theirs_is_named_and_left_alone(lake: StoreLake) -> None:
    with lake.open(tombstone_key_file=lake.folder / "tombstone.key") as house:
        lake.land("a.json", trip(2), trip(3))
        assert house.run(today=TODAY).status == "succeeded"
        foreign = f"{lake.uri}/warehouse/carlake/notes.json"
        lake.places.write(foreign, trip(3).encode())
        done = house.forget(CAR)
        assert [place.path for place in done.left] == [foreign]
        assert not done.ok
        assert lake.places.read(foreign) == trip(3).encode()


def test_without_a_key_that_all_machines_have_nothing_is_begun(lake: StoreLake) -> None:
    with lake.open() as house:
        lake.land("a.json", trip(3))
        house.run(today=TODAY)
        with pytest.raises(LakeError, match="the key of its tombstones would lie on this machine alone") as refused:
            house.forget(CAR)
        assert "tombstone_key_file" in refused.value.advice
        with pytest.raises(LakeError, match="the key of its tombstones"):
            house.plan_forget(CAR)
