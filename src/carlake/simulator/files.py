"""A fleet's records as files: one format, or a zoo of all that a landing folder can hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from itertools import islice
from pathlib import Path
from typing import Literal

from carlake.errors import SettingsError
from carlake.simulator.car import DAY
from carlake.simulator.containers import SUFFIX, Compression, Container, write_container
from carlake.simulator.faults import faults_for, faulty_files
from carlake.simulator.fleet import Fleet, Record, records

Format = Literal["json", "ndjson", "csv", "parquet", "mixed"]

_MIXED_FILES = 12
_JSON_KINDS: tuple[tuple[Container, Compression], ...] = (
    ("ndjson", ""),
    ("array", ""),
    ("pretty", ""),
    ("concatenated", ""),
    ("ndjson", "gzip"),
    ("ndjson", "zstd"),
    ("array", "gzip"),
)
_FLAT_KINDS: tuple[tuple[Container, Compression], ...] = (
    ("csv", ""),
    ("parquet", ""),
    ("csv_dotted", ""),
    ("csv", "gzip"),
)


@dataclass(frozen=True)
class Simulated:
    """What `write` wrote, and what a lake must say once it has landed all of it.

    paths       the files, in the order of their modification times
    contents    distinct contents among them: what bronze knows as objects
    size        bytes
    records     records in the distinct contents: accepted + quarantined + duplicates of `carlake verify`
    events      distinct events: the rows of silver
    duplicates  accepted records beyond one an event: repeats, corrections and older versions
    bad         records in quarantine by reason code
    """

    folder: Path
    paths: tuple[Path, ...]
    contents: int
    size: int
    records: int
    events: int
    duplicates: int
    bad: Mapping[str, int]


def write(
    fleet: Fleet,
    folder: Path | str,
    *,
    files: int | None = None,
    format: Format = "ndjson",  # noqa: A002  the word of the command line
    compress: Compression = "",
) -> Simulated:
    """Write the fleet's records into `folder`, which is made if it does not exist.

    files     how many files the records are spread over, in order of arrival (fewer if there are fewer records).
              Without it: json one pretty object a file, mixed 12 and the faulty ones, the others one file.
    format    json (pretty; with `files`, arrays), ndjson, csv (all events flat), parquet (all nested; all flat if the
              fleet has a share of flat ones), or mixed: nested, flat and snapshot records in every format there is,
              compressed and not, beside an empty file, a copy, odd names and every fault of `carlake.simulator.faults`
    compress  gzip or zstd, for json, ndjson and csv

    Modification times follow the fleet's own clock: a file is as old as its last record's arrival, and each is newer
    than the one before it. A file appears whole under its name, so a lake may watch the folder; a file of the same
    name is replaced. Memory does not grow with the number of records.

    Raises SettingsError if the settings do not go together, OSError where the folder cannot be written.
    """
    if compress and format in ("parquet", "mixed"):
        raise SettingsError(f"format {format} cannot be compressed as a whole.", "Leave compress out.")
    if files is not None and files < 1:
        raise SettingsError(f"A fleet cannot be written to {files} files.", "Give at least 1.")
    landing = _Landing(fleet, Path(folder))
    added = 0
    if format == "mixed":
        added = _mixed(fleet, landing, files or _MIXED_FILES)
    elif format == "json" and files is None:
        for record in records(fleet, faults_for("line")):
            landing.put("pretty", compress, [record])
    else:
        container: Container = "array" if format == "json" else format
        if format == "csv":
            fleet = replace(fleet, flat=1.0, snapshot=0.0)
        elif format == "parquet":
            fleet = replace(fleet, flat=1.0 if fleet.flat else 0.0, snapshot=0.0)
        faults = faults_for("value" if container == "array" else "line" if container == "ndjson" else container)  # type: ignore[arg-type]
        for part in _parts(records(fleet, faults), fleet.records, files or 1):
            landing.put(container, compress, part)
    return landing.simulated(fleet.events + added)


def _parts(stream: Iterator[Record], total: int, files: int) -> Iterator[Iterator[Record]]:
    """The stream in `files` parts whose sizes differ by one at most; each has to be used up before the next."""
    files = max(1, min(files, total))
    for index in range(files):
        yield islice(stream, total // files + (index < total % files))


class _Landing:
    """The folder being filled, and the count of what is in it."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._start = int(datetime.combine(fleet.start, time(), UTC).timestamp())
        self._pace = fleet.days * DAY / max(1, fleet.records)
        self._name = f"fleet{fleet.seed}"
        self._folder = folder
        self._paths: list[Path] = []
        self._seen: set[bytes] = set()
        self._landed = 0
        self._size = 0
        self._accepted = 0
        self._bad: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, container: Container, compress: Compression, part: Iterable[Record], name: str = "") -> None:
        """One more file with the records of `part`."""
        tally: Counter[str] = Counter()

        def counted() -> Iterator[Record]:
            for record in part:
                tally[record.reason] += 1
                yield record

        name = name or f"{self._name}-{len(self._paths):06d}{SUFFIX[container]}{SUFFIX[compress]}"
        draft = self._folder / f".{name}.part"
        with draft.open("wb") as file:
            content = write_container(container, compress, counted(), file)
        self._publish(draft, name, content, tally)

    def put_bytes(self, name: str, content: bytes, reasons: Iterable[str] = ()) -> None:
        """One more file with the given content; `reasons` has one for each of its records, "" for accepted ones."""
        draft = self._folder / f".{self._name}.part"
        draft.write_bytes(content)
        self._publish(draft, name, name.encode() + content, Counter(reasons))

    def copy(self, source: Path, name: str) -> None:
        """One more file with the content of another: a lake knows it already."""
        draft = self._folder / f".{self._name}.part"
        draft.write_bytes(source.read_bytes())
        self._publish(draft, name, None, Counter())

    @property
    def paths(self) -> list[Path]:
        return self._paths

    def simulated(self, events: int) -> Simulated:
        """The whole; `events` is how many distinct events were put."""
        bad = dict(sorted(self._bad.items()))
        return Simulated(
            self._folder,
            tuple(self._paths),
            len(self._seen),
            self._size,
            self._accepted + sum(bad.values()),
            events,
            self._accepted - events,
            bad,
        )

    def _publish(self, draft: Path, name: str, content: bytes | None, tally: Counter[str]) -> None:
        """Give the file its time and its name; count its records unless a file of the same content counts them."""
        self._landed += tally.total()
        # One second a file makes every file newer than the one before it.
        modified = int(self._start + self._landed * self._pace) + 60 + len(self._paths)
        os.utime(draft, (modified, modified))
        path = self._folder / name
        draft.replace(path)
        self._paths.append(path)
        self._size += path.stat().st_size
        if content is not None and content not in self._seen:
            self._seen.add(content)
            self._accepted += tally.pop("", 0)
            self._bad += tally


def _mixed(fleet: Fleet, landing: _Landing, files: int) -> int:
    """Every format there is, then the files that are odd or faulty as a whole; returns how many events that adds."""
    if not fleet.flat and not fleet.snapshot:
        fleet = replace(fleet, flat=0.25, snapshot=0.1)
    singles = 3
    for index, part in enumerate(_parts(records(fleet, faults_for("value")), fleet.records, files)):
        container, compress = _JSON_KINDS[index % len(_JSON_KINDS)]
        flat: list[Record] = []
        rest: list[Record] = []
        for record in part:
            tabular = index % 2 == 0 and record.shape == "car_metrics" and not record.reason
            (flat if tabular else rest).append(record)
        if container == "pretty":
            for record in rest[:singles]:
                landing.put("pretty", "", [record])
            rest, container = rest[singles:], "array"
        landing.put(container, compress, rest)
        if flat:
            landing.put(*_FLAT_KINDS[index // 2 % len(_FLAT_KINDS)], flat)
    # One more car, whose good records stand between the faults and have to come through.
    faults = faults_for("line")
    alone = Fleet(
        events=3 * len(faults),
        cars=1,
        days=fleet.days,
        start=fleet.start,
        seed=fleet.seed + 1,
        duplicates=0,
        corrections=0,
        stale=0,
        late=0,
        bad=0,
    )
    spare = records(alone)
    beside = []
    for fault in faults:
        beside.append(next(spare))
        good = next(spare)
        beside.append(good._replace(text=fault.spoil(str(good.text), good.shape), kind="bad", reason=fault.reason))
    beside.append(next(spare))
    landing.put("ndjson", "", beside, "line faults.ndjson")
    landing.put_bytes("not compressed.json.gz", str(next(spare).text).encode(), [""])
    events = len(faults) + 2
    for faulty in faulty_files(str(record.text) for record in spare):
        landing.put_bytes(faulty.name, faulty.content, [*faulty.reasons, *[""] * faulty.events])
        events += faulty.events
    landing.put_bytes("empty.json", b"")
    landing.put_bytes("header-only.csv", b"carChassis,telemetryTimestamp\n")
    landing.copy(landing.paths[0], "a copy, \"100%2F\" of 'it'.ndjson")
    return events
