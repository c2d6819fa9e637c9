"""Quarantined records: which they are and why, and how they get out: exported, repaired, landed again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from carlake.engines.duckdb.files import quoted
from carlake.errors import CarlakeError, NotFoundError
from carlake.landing.defects import Reason
from carlake.landing.landed import VERSION
from carlake.look.names import did_you_mean
from carlake.storage.durable import write_atomically
from carlake.tables.declare import BRONZE, QUARANTINE

if TYPE_CHECKING:
    from carlake.lakehouse import Lakehouse

REASONS_FILE = "_reasons.csv"
"""The list beside exported records; landing passes over names that begin with `_`."""

_EXPORT_BYTES = 64 << 20
_EXPORT_SECONDS = 24 * 3600.0
_TEXT = frozenset({".ndjson", ".jsonl", ".json", ".txt"})
_LONGEST_NAME = 255  # bytes of a file name on common file systems
_PACKED = (".gz", ".gzip", ".zst", ".zstd", ".parquet")

# All rows of an object have the same uri; one row per object is enough to join.
_URIS = f"""(SELECT source_id, any_value(source_uri) AS source_uri FROM {BRONZE}
 WHERE source_id IN (SELECT source_id FROM {QUARANTINE}) GROUP BY source_id)"""


def listed(house: Lakehouse, reason: str | None = None, limit: int | None = None) -> pa.Table:
    """Quarantined records, newest first.

    reason  only those of this reason code
    limit   at most so many
    Columns: quarantined_at, reason, detail, source_uri, source_row (from 0), event_id, car_chassis, contract, raw (null
    where the record is not UTF-8 text; `export` writes its bytes). Raises NotFoundError for a reason that none has.
    """
    _check_reason(house, reason)
    return house.query(
        f"SELECT q.quarantined_at, q.reason, q.detail, b.source_uri, q.source_row, q.event_id, q.car_chassis, q.contract, q.raw "
        f"FROM {QUARANTINE} AS q LEFT JOIN {_URIS} AS b USING (source_id){_where(reason)} "
        f"ORDER BY q.quarantined_at DESC, b.source_uri, q.source_row"
        + (f" LIMIT {int(limit)}" if limit is not None else "")
    )


def by_reason(house: Lakehouse) -> pa.Table:
    """Quarantined records by reason, the most frequent first.

    Columns: reason, records (long), first and last (when the first and the last was put here), and of the last one
    detail, source_uri and source_row as an example.
    """
    return house.query(
        "SELECT reason, count(*) AS records, min(quarantined_at) AS first, max(quarantined_at) AS last, "
        "any_value(detail ORDER BY quarantined_at DESC, source_uri, source_row) AS detail, "
        "any_value(source_uri ORDER BY quarantined_at DESC, source_uri, source_row) AS source_uri, "
        "any_value(source_row ORDER BY quarantined_at DESC, source_uri, source_row) AS source_row "
        f"FROM {QUARANTINE} LEFT JOIN {_URIS} USING (source_id) GROUP BY reason ORDER BY records DESC, reason"
    )


def export(house: Lakehouse, target: str | PathLike[str], reason: str | None = None) -> list[Path]:
    """Write quarantined records verbatim, to be repaired and landed again; gives the files written.

    target  a new or empty folder: one file for each landed object, under the object's own name, its quarantined records
            one a line. Or a new file whose name ends in .ndjson, .jsonl, .json or .txt: all records go there.
    reason  only those of this reason code
    A record that is not UTF-8 text goes to a file of its own, its bytes as they came, and so does a bad CSV row. `_reasons.csv` in the folder
    (`<file>_reasons.csv` with a leading `_` beside the file) says of each: file, line (of its first line, from 1; empty
    for a file of its own), source_uri, source_row (from 0), reason, detail; `carlake run` passes it over.
    Rows of CSV and Parquet objects are exported as bronze has them, as JSON objects.
    Raises NotFoundError for a reason that none has, CarlakeError where the target is in the way.
    """
    _check_reason(house, reason)
    place = Path(target).expanduser().absolute()
    single = place.suffix in _TEXT and not place.is_dir()
    if place.exists() and (single or not place.is_dir() or any(place.iterdir())):
        what = "exists" if single or not place.is_dir() else "is not empty"
        raise CarlakeError(f"{place} {what}; nothing was written.", "Give a new file, or a new or empty folder.")
    folder = place.parent if single else place
    folder.mkdir(parents=True, exist_ok=True)
    exported = _Export(folder, place.name if single else None)
    try:
        for row in _records(house, reason):
            exported.add(row)
    finally:
        exported.close()
    return exported.finish()


class _Export:
    """Files being written: the records of one object after the other, each object's in one file."""

    def __init__(self, folder: Path, single: str | None) -> None:
        self.folder, self.single = folder, single
        self.sidecar = folder / (f"_{single}_reasons.csv" if single else REASONS_FILE)
        self.written: list[Path] = []
        self.reasons: list[list[object]] = []
        self._taken = {self.sidecar.name}
        self._source = self._name = ""
        self._file: BinaryIO | None = None
        self._line = 1

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one record. Records of one object come together."""
        if not self.single and row["source_id"] != self._source:
            self.close()
        self._source = row["source_id"]
        text = row["raw"]
        if text is None:
            self._alone(row, f".{row['source_row']}.bin", row["raw_bytes"] or b"")
        elif row["reason"] == Reason.BAD_CSV_ROW:
            # Such a record carries its header, which would be a row more below others.
            self._alone(row, f".{row['source_row']}.csv", text.encode())
        else:
            if self._file is None:
                named = self.single or _plain_name(row, _json_suffix(row))
                self._file, self._line = self._new(named), 1
                self._name = self.written[-1].name
            self._file.write(text.encode() + b"\n")
            self._note(self._name, self._line, row)
            self._line += text.count("\n") + 1

    def close(self) -> None:
        """End the file that is being written."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def finish(self) -> list[Path]:
        """Write the list of reasons; gives all files."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["file", "line", "source_uri", "source_row", "reason", "detail"])
        writer.writerows(self.reasons)
        write_atomically(self.sidecar, text.getvalue().encode())
        return [*self.written, self.sidecar]

    def _alone(self, row: Mapping[str, Any], tail: str, content: bytes) -> None:
        """Write a record to a file of its own."""
        with self._new(_plain_name(row, tail)) as file:
            file.write(content)
        self._note(self.written[-1].name, "", row)

    def _new(self, name: str) -> BinaryIO:
        """A new file by this name, or the nearest that no other object of this export has."""
        free, number = name, 1
        while free in self._taken or (self.folder / free).exists():
            number += 1
            stem, dot, suffix = name.rpartition(".")
            free = f"{stem}~{number}.{suffix}" if dot and stem else f"{name}~{number}"
        self._taken.add(free)
        self.written.append(self.folder / free)
        return (self.folder / free).open("xb")

    def _note(self, name: str, line: int | str, row: Mapping[str, Any]) -> None:
        self.reasons.append([name, line, row["source_uri"], row["source_row"], row["reason"], row["detail"]])


def _plain_name(row: Mapping[str, Any], tail: str = "") -> str:
    """The landed object's own name; without the suffix of what it was packed in, for the export is plain text."""
    name = str(row["source_uri"] or "").partition(VERSION)[0].rstrip("/").rpartition("/")[2]
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    # Landing passes over hidden and unfinished names, and these records are to be landed.
    name = name.lstrip("._") or str(row["source_id"])
    while len(f"{name}{tail}".encode()) > _LONGEST_NAME - 8:
        name = name[:-1]
    return name + tail


def _json_suffix(row: Mapping[str, Any]) -> str:
    """What the name lacks to tell that its records are JSON, as those of CSV and Parquet objects are in bronze."""
    is_json = str(row["raw"]).startswith("{")
    return ".ndjson" if is_json and not _plain_name(row).endswith((".json", ".ndjson", ".jsonl")) else ""


def _records(house: Lakehouse, reason: str | None) -> Iterator[dict[str, Any]]:
    """Quarantined rows with their bytes and uri, object by object, some objects at a time so that memory stays bounded."""
    sizes = house.query(
        f"SELECT source_id, sum(coalesce(strlen(raw), 65536)) AS size FROM {QUARANTINE} AS q{_where(reason)} "
        "GROUP BY source_id ORDER BY source_id",
        timeout_seconds=_EXPORT_SECONDS,
    ).to_pylist()
    group: list[str] = []
    size = 0
    for number, row in enumerate(sizes, 1):
        group.append(row["source_id"])
        size += int(row["size"])
        if size >= _EXPORT_BYTES or len(group) >= 1000 or number == len(sizes):
            ids = ", ".join(map(quoted, group))
            yield from house.query(
                f"SELECT q.source_id, q.source_row, q.reason, q.detail, b.source_uri, b.raw, b.raw_bytes "
                f"FROM {QUARANTINE} AS q JOIN (SELECT source_id, source_row, source_uri, raw, raw_bytes FROM {BRONZE} "
                f"WHERE source_id IN ({ids})) AS b ON q.source_id = b.source_id AND q.source_row = b.source_row"
                f"{_where(reason)} ORDER BY b.source_uri, q.source_id, q.source_row",
                timeout_seconds=_EXPORT_SECONDS,
            ).to_pylist()
            group, size = [], 0


def _where(reason: str | None) -> str:
    return f" WHERE q.reason = {quoted(reason)}" if reason is not None else ""


def _check_reason(house: Lakehouse, reason: str | None) -> None:
    if reason is None:
        return
    rows = house.query(f"SELECT DISTINCT reason FROM {QUARANTINE} ORDER BY reason")
    found = [str(code) for code in rows["reason"].to_pylist()]
    if reason not in found:
        some = (
            f"{did_you_mean(reason, found)} Reasons in this lake: {', '.join(found)}."
            if found
            else "Quarantine is empty."
        )
        raise NotFoundError(f"No quarantined record has the reason {reason!r}.", some.strip())
