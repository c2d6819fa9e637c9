"""What an erasure leaves of other cars in an archived object, in lines of carlake's own, is found by a later erasure."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carlake.contracts.load import load
from carlake.landing.forgotten import FORGOTTEN, wrap
from carlake.landing.pseudonyms import Pseudonyms
from carlake.upkeep.erasure.search import Needle, Searched, search
from lakes import BRONZE, QUARANTINE, heads, iceberg, lakehouse, put, rows_of, step
from personal.test_forget import BROKEN_OTHER, BROKEN_OWN, CAR, OTHER, OTHERS, OWN, bare_search


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_broken_record_beside_a_forgotten_car_is_forgotten_later(
    small_folder: Path, pack: Callable[[bytes], bytes]
) -> None:
    records = "\n".join([OWN[0], OTHERS[2], BROKEN_OTHER]).encode()
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", pack(records))
        assert house.run().status == "succeeded"
        assert house.forget(CAR).ok
        (archived,) = (path for path in house.lake.archive.glob("*/*/*") if path.is_file())
        content = archived.read_bytes()
        assert wrap(BROKEN_OTHER.strip().encode()) in (gzip.decompress(content) if pack is gzip.compress else content)
        assert str(archived.relative_to(house.lake.root)) in bare_search(house.lake.root, OTHER)
        assert house.plan_forget(OTHER).known
        done = house.forget(OTHER)
        assert done.ok and str(archived) in done.objects
        assert bare_search(house.lake.root, OTHER) == []
        found = house.verify()
        assert (found.problems, found.accepted, found.forgotten) == ((), 1, 2)


def test_an_archived_object_that_was_left_so_is_found_by_the_search_alone(small_folder: Path) -> None:
    """Bronze has forgotten the record already: an erasure that could not see the line has left it behind."""
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", OWN[0], BROKEN_OWN, OTHERS[0])
        house.run()
        assert house.forget(CAR).ok
        (archived,) = (path for path in house.lake.archive.glob("*/*/a.json"))
        archived.write_bytes(archived.read_bytes().replace(b'{"$carlake":"forgotten"}', wrap(BROKEN_OWN.encode()), 1))
        before = heads(house)
        assert bare_search(house.lake.root, CAR)
        done = house.forget(CAR)
        assert done.ok and str(archived) in done.objects and before != heads(house)
        assert bare_search(house.lake.root, CAR) == []


def test_bronze_made_again_from_objects_that_were_written_anew_for_their_name(small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        assert house.forget(CAR, unknown=True).ok
        put(house.lake.landing / f"{CAR}.json", OTHERS[0], BROKEN_OTHER, b'{"carChassis": "\xff"}', "[1]")
        house.run()
        (archived,) = house.lake.archive.glob("*/*/*.json")
        assert wrap(BROKEN_OTHER.strip().encode()) in archived.read_bytes()
        before = rows_of(house, BRONZE), rows_of(house, QUARANTINE)
        report = house.rebuild(everything=True, from_archive=True)
        assert report.status == "succeeded" and step(report, BRONZE).rows_out == 4
        assert (rows_of(house, BRONZE), rows_of(house, QUARANTINE)) == before
        assert house.forget(OTHER).ok and house.verify().problems == ()
        assert rows_of(house, QUARANTINE) == [row for row in before[1] if row["source_row"] > 1]
        assert bare_search(house.lake.root, OTHER) == []


def test_bronze_that_was_made_again_with_wrapped_records(small_folder: Path) -> None:
    """As rebuilds from the archive once made it."""
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", OTHERS[0], BROKEN_OWN)
        house.run()
        bronze = iceberg(house, BRONZE)
        arrow = bronze.scan().to_arrow()
        rows = arrow.to_pylist()
        for row in rows:
            if row["raw"] == BROKEN_OWN.strip():
                row |= {"raw": wrap(BROKEN_OWN.strip().encode()).decode(), "car_chassis": None}
        bronze.overwrite(pa.Table.from_pylist(rows, schema=arrow.schema))
        house.run()
        assert any(search(house.lake.root / "warehouse", Needle([CAR]), Searched()))
        done = house.forget(CAR)
        assert done.ok and done.tables[0].rows == 1
        assert bare_search(house.lake.root, CAR) == []


def test_a_search_that_cannot_see_wrapped_records_proves_nothing(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Needle, "in_own", lambda needle, content: False)
    with lakehouse(small_folder / "lake") as house:
        done = house.forget(CAR, unknown=True)
        assert "wrapped" not in done.control and not done.proved and not done.ok


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another"])
@pytest.mark.parametrize("line", [FORGOTTEN, wrap(OTHERS[0].encode()).decode()], ids=["forgotten", "wrapped"])
def test_a_line_of_somebody_else_that_reads_like_carlakes_is_a_record_like_any_other(
    small_folder: Path, line: str, alone: bool
) -> None:
    with lakehouse(small_folder / "lake") as house:
        put(house.lake.landing / "a.json", line, *([] if alone else [OTHERS[1]]))
        report = house.run()
        assert (report.quarantined, report.accepted, report.forgotten) == (1, 0 if alone else 1, 0)
        (row,) = rows_of(house, QUARANTINE)
        assert (row["raw"], row["reason"]) == (line, "unknown_shape")
        # Written anew, since its name held a car, it is still no line of carlake's.
        assert house.forget(CAR, unknown=True).ok
        put(house.lake.landing / f"{CAR}.json", line, *OTHERS[2:], BROKEN_OTHER)
        assert house.run().status == "succeeded"
        bronze = sorted((row["source_id"], row["source_row"], row["raw"]) for row in rows_of(house, BRONZE))
        assert [raw for *_, raw in bronze].count(line) == 2
        with lakehouse(small_folder / "again") as again:
            assert again.run([str(house.lake.archive)]).forgotten == 0
            rows = sorted((row["source_id"], row["source_row"], row["raw"]) for row in rows_of(again, BRONZE))
            assert rows == bronze
        assert house.rebuild(everything=True, from_archive=True).status == "succeeded"
        assert sorted((row["source_id"], row["source_row"], row["raw"]) for row in rows_of(house, BRONZE)) == bronze


def table(text: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"raw": [None, text]}), file, compression="zstd", write_statistics=False)
    return file.getvalue()


@pytest.mark.parametrize(
    "form",
    [
        str.encode,
        lambda text: text.replace("/", "\\/").encode(),
        lambda text: text[: text.rindex('"') - 9].encode(),
        lambda text: gzip.compress(text.encode()),
        table,
    ],
    ids=["line", "escaped", "cut off", "gzip", "parquet"],
)
@pytest.mark.parametrize("where", ["first", "last", "encrypted", "not UTF-8", "UTF-16", "packed", "wrapped"])
def test_every_form_of_a_wrapped_record_is_searched(
    small_folder: Path, where: str, form: Callable[[str], bytes]
) -> None:
    names = Pseudonyms(bytes(32), load(()))
    # Of random letters, that it packs badly: gzip's pieces end within it.
    letters = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz?>", k=1 << 20))
    text = json.dumps({"letters": letters})[:-1]
    record = {
        "first": BROKEN_OWN + text,
        "last": text + BROKEN_OWN,
        # One that broke off could not be opened.
        "encrypted": names.seal(BROKEN_OWN.encode(), "truncated_json", "the text ends").decode() + "????????",
        "not UTF-8": BROKEN_OWN.encode() + b"\xff???",
        "UTF-16": BROKEN_OWN.encode("utf-16"),
        "packed": gzip.compress(BROKEN_OWN.encode()) + b"???",
        "wrapped": wrap(BROKEN_OWN.encode()).decode() + "???",
    }[where]
    wrapped = wrap(record.encode() if isinstance(record, str) else record).decode()
    put(small_folder / "found", form(wrapped))
    opener = names.open if where == "encrypted" else None
    assert {place.path for place in search(small_folder, Needle([CAR], opener), Searched())} == {
        str(small_folder / "found")
    }
    assert list(search(small_folder, Needle([CAR[:-1]], opener), Searched())) == []
