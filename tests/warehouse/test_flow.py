"""A lake that lies whole in an object store does what one on the disk does."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carlake.lakehouse import Lakehouse
from carlake.refresh.report import RunReport
from carlake.storage.places import forget_kept
from carlake.upkeep.maintenance import orphans
from carlake.upkeep.maintenance.maintain import maintain
from lakes import BRONZE, QUARANTINE, TODAY, expected, heads, held, iceberg, rows_of, step
from servers.faults import Proxy
from upkeep.maintained import files_below, needed, snapshots
from warehouse.lake_of_store import StoreLake, landed, trip

TIDY = {
    "keep_snapshots": 5, "compact_files": 2, "keep_metadata_files": 2, "reader_grace_minutes": 0, "releases_kept": 0,
    "releases_days": 0, "orphan_age_hours": 0, "maintenance": "off",
}  # fmt: skip


def run(house: Lakehouse) -> RunReport:
    report = house.run(today=TODAY)
    assert (report.status, report.problems) == ("succeeded", ()), report
    return report


def test_from_landing_to_gold_and_into_the_archive(lake: StoreLake) -> None:
    records = [trip(number) for number in range(20)]
    later = [trip(3, 1), trip(4, 1), trip(30)]
    with lake.open() as house:
        lake.land("a.json", *records, "not json")
        lake.land("sub/b.json", *records[:5])
        assert run(house).records == 26
        assert lake.below("landing") == []
        assert sorted(name.rpartition("/")[2] for name in lake.below("archive")) == ["a.json", "b.json"]
        lake.land("c.json", *later)
        lake.land("again.json", *records[:5])
        report = run(house)
        assert step(report, BRONZE).rows_out == 3
        assert held(house) == expected(landed(*records, *later), TODAY)
        assert [row["reason"] for row in rows_of(house, QUARANTINE)] == ["not_json"]
        assert house.query("SELECT count(*) AS n FROM silver_car_telemetry").to_pylist() == [{"n": 21}]
        found = house.verify(deep=True)
        assert (found.problems, found.accepted, found.pending) == ((), 21, 0)
    assert not any(path.suffix in (".parquet", ".avro") for path in lake.folder.rglob("*"))


def test_what_is_of_the_machine_may_be_lost_at_any_time(lake: StoreLake) -> None:
    with lake.open() as house:
        lake.land("a.json", *(trip(number) for number in range(8)))
        run(house)
    shutil.rmtree(lake.folder / "state")
    with lake.open() as house:
        lake.land("b.json", trip(2, 1), trip(9))
        run(house)
        records = [*(trip(number) for number in range(8)), trip(2, 1), trip(9)]
        assert held(house) == expected(landed(*records), TODAY)
        assert house.verify().ok


def test_tables_are_made_again_and_rolled_back(lake: StoreLake) -> None:
    first, second = [trip(number) for number in range(6)], [trip(1, 1), trip(7)]
    with lake.open() as house:
        lake.land("a.json", *first)
        run(house)
        lake.land("b.json", *second)
        run(house)
        house.rollback("last")
        assert held(house) == expected(landed(*first), TODAY)
        house.resume()
        run(house)
        assert held(house) == expected(landed(*first, *second), TODAY)
        report = house.rebuild(everything=True, today=TODAY)
        assert report.status == "succeeded"
        assert held(house) == expected(landed(*first, *second), TODAY)
        assert house.verify(deep=True).ok


def test_maintenance_leaves_in_the_store_what_is_needed_and_nothing_else(
    lake: StoreLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lake.open(**TIDY) as house:
        for number in range(8):
            lake.land(f"{number}.json", trip(number), trip(0, number))
            run(house)
        before = held(house)
        stray = f"{lake.uri}/warehouse/carlake/{BRONZE}/data/stray.parquet"
        lake.places.write(stray, b"of a process that died")
        for _ in range(3):
            assert not [done for done in maintain(house).done if done.error]
        # It is too young: a commit that names it may be under way.
        assert lake.places.exists(stray)
        assert files_below(house, BRONZE) == needed(house, BRONZE) | {stray}
        monkeypatch.setattr(orphans, "YOUNGEST_ORPHAN_SECONDS", 0.0)
        for _ in range(2):
            maintain(house)
        assert not lake.places.exists(stray)
        for name in house.declared:
            if house.catalog.table_exists(f"carlake.{name}"):
                assert files_below(house, name) == needed(house, name)
        gold = "gold_car_current_state"
        assert len(snapshots(house, gold)) < iceberg(house, gold).metadata.last_sequence_number
        assert held(house) == before == expected(landed(*map(trip, range(8)), *(trip(0, n) for n in range(8))), TODAY)
        assert house.verify(deep=True).ok


def test_a_process_that_goes_on_reads_no_file_again_that_it_has_written(lake: StoreLake, proxy: Proxy) -> None:
    with lake.open(maintenance="off") as house:
        for number in range(3):
            lake.land(f"{number}.json", trip(number), trip(0, number))
            proxy.seen.clear()
            run(house)
        tables = [request.operation for request in proxy.seen if "/warehouse/" in request.path]
        # Each table's data files, manifests, manifest list and metadata are put, and nothing else is asked for.
        assert set(tables) == {"PutObject"}
        assert len(tables) <= 48


def test_a_narrow_query_fetches_ranges_and_not_whole_files(lake: StoreLake, proxy: Proxy) -> None:
    records = [trip(number, color=hashlib.sha512(b"%d" % number).hexdigest()) for number in range(9000)]
    with lake.open(threads=2) as house:
        lake.land("a.json", *records)
        run(house)
        size = sum(found.size for found in lake.places.below(f"{lake.uri}/warehouse/carlake/{BRONZE}/data"))
        assert size > 600_000
    with lake.open() as house:
        proxy.seen.clear()
        assert house.query(f"SELECT count(DISTINCT source_id) AS n FROM {BRONZE}").to_pylist() == [{"n": 1}]
        asked = [request for request in proxy.seen if "/data/" in request.path]
        assert {request.operation for request in asked} == {"GetObject"}
        spans = [request.headers["range"].removeprefix("bytes=").split("-") for request in asked]
        assert sum(int(last) - int(first) + 1 for first, last in spans) < size / 4


def _flipped(content: bytes, column: str) -> bytes:
    """A Parquet file with one bit flipped in a column's values, which reading it does not show."""
    footer = pq.read_metadata(io.BytesIO(content))
    [place] = [each for each in range(footer.num_columns) if footer.schema.column(each).name == column]
    chunk = footer.row_group(0).column(place)
    whole = pq.read_table(io.BytesIO(content))
    for at in range(chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size):
        flipped = bytearray(content)
        flipped[at] ^= 1
        try:
            if pq.read_table(io.BytesIO(flipped)).column(column) != whole.column(column):
                return bytes(flipped)
        except (OSError, pa.ArrowException):
            continue
    raise AssertionError("every flip is seen")


@pytest.mark.parametrize("whole", [512 << 10, 0], ids=["small", "large"])
def test_a_flipped_bit_is_named_and_never_carried_over(
    lake: StoreLake, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    monkeypatch.setattr("carlake.engines.duckdb.stores._WHOLE", whole)
    with lake.open(maintenance="off") as house:
        lake.land("a.json", *(trip(number) for number in range(0, 12, 2)))
        run(house)
    [damaged] = [found.path for found in lake.places.below(f"{lake.uri}/warehouse/carlake/silver_car_telemetry/data")]
    lake.places.write(damaged, _flipped(lake.places.read(damaged), "trip_distance_km"))
    forget_kept()
    with lake.open(maintenance="off") as house:
        before = heads(house)
        found = house.verify(deep=True)
        assert {problem.keys[0] for problem in found.problems if problem.kind == "damaged file"} == {damaged}
        lake.land("b.json", trip(0, 1))
        report = house.run(today=TODAY)
        assert step(report, "silver_car_telemetry").status == "failed"
        assert f"{damaged} is damaged" in step(report, "silver_car_telemetry").error
        assert step(report, BRONZE).status == "succeeded"
        assert heads(house)["silver_car_telemetry"] == before["silver_car_telemetry"]


def test_files_that_are_fetched_for_a_correction_go_again(lake: StoreLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carlake.engines.duckdb.stores._WHOLE", 0)
    with lake.open() as house:
        lake.land("a.json", *(trip(number) for number in range(6)))
        run(house)
        lake.land("b.json", *(trip(number, 1) for number in range(3)))
        run(house)
        assert held(house) == expected(landed(*map(trip, range(6)), *(trip(n, 1) for n in range(3))), TODAY)
        left = list((lake.folder / "state").rglob("*.parquet"))
        assert left == []


def test_a_lake_on_the_disk_may_have_its_tables_in_a_store(lake: StoreLake, small_folder: Path) -> None:
    own = small_folder / "lake"
    settings = lake.settings(warehouse=f"{lake.uri}/tables", catalog="sqlite", catalog_uri=None)
    with Lakehouse.create(own, settings) as house:
        (own / "landing" / "a.json").write_text("\n".join([*map(trip, range(6)), trip(2, 1)]))
        run(house)
        assert held(house) == expected(landed(*map(trip, range(6)), trip(2, 1)), TODAY)
        assert house.verify(deep=True).ok
    assert (own / "catalog.db").exists()
    assert list((own / "warehouse").iterdir()) == []
    assert len(list((own / "archive").rglob("a.json"))) == 1
    assert any(name.endswith(".parquet") for name in lake.below("tables"))
