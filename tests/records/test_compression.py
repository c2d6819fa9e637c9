"""gzip and zstd: what is truncated or corrupt is kept whole as a record, and what came before the end goes through."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable

import pytest
import zstandard

from carlake.errors import ReadError
from carlake.landing.compression import KEPT_BYTES, Unpacked
from carlake.landing.json_values import JsonValues
from carlake.landing.window import Window
from records.reading import good, outline, read

CHANCE = random.Random(7)
LINES = [json.dumps({"n": number, "noise": CHANCE.randbytes(60).hex()}).encode() for number in range(400)]
DATA = b"\n".join(LINES) + b"\n"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.99])
def test_the_records_of_a_truncated_stream_go_through(packing: str, share: float) -> None:
    packed = PACK[packing](DATA)
    packed = packed[: max(4, int(len(packed) * share))]
    *records, last = read(packed)
    assert last.content == packed
    assert last.reason == "bad_compression"
    assert last.detail == f"{packing} stream is truncated: it ends too early"
    assert good(records) == LINES[: len(good(records))]
    assert [record.reason for record in records if record.reason] in ([], ["truncated_json"])
    if packing == "gzip" and share > 0.2:
        assert len(records) > 10


@pytest.mark.parametrize("packing", PACK)
def test_a_stream_that_lacks_only_its_end_has_all_its_records(packing: str) -> None:
    packed = PACK[packing](DATA)[:-1]
    assert outline(read(packed)) == [*((line, None) for line in LINES), (packed, "bad_compression")]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("place", [30, 0.5, -3])
def test_nothing_of_a_corrupt_stream_is_trusted(packing: str, place: float) -> None:
    packed = bytearray(PACK[packing](DATA))
    at = int(place * len(packed)) if isinstance(place, float) else int(place)
    packed[at] ^= 0xFF
    (record,) = read(bytes(packed))
    assert outline([record]) == [(bytes(packed), "bad_compression")]
    assert record.detail is not None and record.detail.startswith(f"{packing} stream is corrupt: ")


@pytest.mark.parametrize("packing", PACK)
def test_what_follows_the_stream_makes_it_corrupt(packing: str) -> None:
    packed = PACK[packing](DATA) + b"garbage"
    (record,) = read(packed)
    assert outline([record]) == [(packed, "bad_compression")]
    assert record.detail is not None and "corrupt" in record.detail


@pytest.mark.parametrize("packing", PACK)
def test_a_long_corrupt_stream_is_cut(packing: str) -> None:
    packed = bytearray(PACK[packing](DATA))
    packed[len(packed) // 2] ^= 0xFF
    (record,) = read(bytes(packed), max_record_bytes=1000)
    assert outline([record]) == [(bytes(packed[:1000]), "bad_compression")]
    assert record.detail is not None and "corrupt" in record.detail
    assert record.detail.endswith(f"; only the first 1000 bytes are kept, {len(packed) - 1000} bytes were cut")


@pytest.mark.parametrize("packing", PACK)
def test_a_stream_too_large_to_keep_is_unpacked_twice(packing: str) -> None:
    data = b"".join(b'{"n":%d,"pad":"%s"}\n' % (number, b"x" * 1000) for number in range(KEPT_BYTES // 900))
    packed = PACK[packing](data)
    assert len(data) > KEPT_BYTES
    assert b"\n".join(good(read(packed))) + b"\n" == data
    *records, last = read(packed[:-20])
    assert last.reason == "bad_compression"
    assert data.startswith(b"\n".join(good(records)))


def test_a_stream_that_changes_between_the_two_readings_is_a_read_error() -> None:
    packed = gzip.compress(random.Random(3).randbytes(KEPT_BYTES + 1))
    stream = io.BytesIO(packed)
    unpacked = Unpacked(stream)
    stream.seek(len(packed) // 2)
    stream.write(bytes(100))
    stream.seek(0)
    window = Window(unpacked, 1 << 20)
    with pytest.raises(ReadError, match="changed while it was read"):
        list(JsonValues(window, 1 << 26))
