"""Files that a person names, local or in an object store, as relations of DuckDB: Parquet, JSON and CSV, by their content.

A store's objects are read range by range through a file system of this process, so of a Parquet file only the columns
that are asked for; each range is checked against the version that was listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from carlake.engines.duckdb.files import quoted
from carlake.engines.duckdb.stores import StoreFiles
from carlake.errors import ReadError
from carlake.landing.compression import GZIP_MAGIC, Unpacked, is_compressed
from carlake.landing.landed import LandedObject
from carlake.landing.objects import open_object, path_of
from carlake.storage.places import Places
from carlake.storage.store_files import RangeReader

Form = tuple[Literal["parquet", "json", "csv"], Literal["none", "gzip", "zstd"]]
"""What an object is, and how it is packed."""

_HEAD = 4096
_BINARY = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
# What is neither Parquet nor JSON is taken for CSV, but not where its name says that it is something else, as `job.py`.
_OTHER = re.compile(r"[^/]\.(?!(?:csv|tsv|psv|txt|dat|data|json|jsonl|ndjson)$)[a-z][a-z0-9]*$", re.IGNORECASE)
_PACKED = re.compile(r"\.(?:gz|gzip|zst|zstd)$", re.IGNORECASE)
_PARTITION = re.compile(r"(?<=/)([^/=]+)=[^/]*(?=/)")
# JSON's texts stay texts: what they are is said by the column that they are compared with.
_OPTIONS = {
    "parquet": "union_by_name = true",
    "json": "union_by_name = true, sample_size = -1, maximum_object_size = 67108864, dateformat = '%%', "
    "timestampformat = '%%', map_inference_threshold = -1",
    "csv": "union_by_name = true, all_varchar = true, header = true, allow_quoted_nulls = false",
}


def form_of(landed: LandedObject) -> Form:
    """What an object is, by its first bytes. Raises ReadError where it is none of the forms that can be compared."""
    with open_object(landed) as stream:
        head = stream.read(4)
        stream.seek(0)
        if head == b"PAR1":
            return "parquet", "none"
        packing: Literal["none", "gzip", "zstd"] = "none"
        if is_compressed(head):
            packing = "gzip" if head.startswith(GZIP_MAGIC) else "zstd"
            buffer = bytearray(_HEAD)
            text = bytes(buffer[: Unpacked(stream).readinto(memoryview(buffer))])
        else:
            text = stream.read(_HEAD)
    if len(text.translate(None, _BINARY)) < len(text):
        raise ReadError(
            f"{landed.uri} is neither Parquet nor JSON nor CSV.", "Name the files to compare by a glob, as '*.csv'."
        )
    if text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return "json", packing
    if _OTHER.search(_PACKED.sub("", landed.uri)):
        raise ReadError(
            f"{landed.uri}: no known format; Parquet, JSON/NDJSON, CSV (also .gz, .zst).",
            "Name the files to compare by a glob, as '*.csv'; give CSV the ending .csv.",
        )
    return "csv", packing


def readers(objects: Sequence[LandedObject]) -> list[tuple[str, str]]:
    """SQL that reads the rows of objects, as (the SQL without and with the columns that partition folders name) by form.

    Raises ReadError for an object of no form.
    """
    groups: dict[Form, list[str]] = {}
    for landed in objects:
        groups.setdefault(form_of(landed), []).append(path_of(landed.uri) or landed.uri)
    found = []
    for (form, packing), paths in groups.items():
        names = ", ".join(quoted("".join(f"[{c}]" if c in "*?[" else c for c in path)) for path in paths)
        packed = "" if form == "parquet" else f", compression = '{packing}'"
        call = f"FROM read_{form}([{names}], {_OPTIONS[form]}{packed}, hive_partitioning = "
        found.append((f"{call}false)", f"{call}true)"))
    return found


def partitions(objects: Iterable[LandedObject]) -> set[str]:
    """The columns that partition folders name, as `year=2025/`, in lower case: those that all objects have."""
    found = [{name.lower() for name in _PARTITION.findall(landed.uri)} for landed in objects]
    return set.intersection(*found) if found else set()


class LandedFiles(StoreFiles):
    """Beside the data files of tables the objects that were named to it, to be read by range as they were listed."""

    def __init__(self) -> None:
        super().__init__()
        self._landed: dict[str, LandedObject] = {}

    def know_objects(self, objects: Iterable[LandedObject]) -> None:
        """Let these objects be read; local ones need it not."""
        for landed in objects:
            if path_of(landed.uri) is None:
                self._landed[landed.uri] = landed
                self.know_at(landed.uri, landed.size, Places())

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """A stream to read."""
        if path in self._landed and "r" in mode:
            return _Ranges(self._landed[path])
        return super().open(path, mode, **options)


class _Ranges(RangeReader):
    def __init__(self, landed: LandedObject) -> None:
        super().__init__(landed.uri, landed.size, Places())
        self._landed = landed

    def _range(self, start: int, end: int) -> bytes:
        from carlake.landing import stores

        return stores.read_range(self._landed, start, end) if end > start else b""
