"""What is landed: simulated fleets as files, made once and kept for the next run.

As a script (`inputs.py SPEC FOLDER`) it makes one of them, in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from importlib import util
from itertools import islice
from pathlib import Path
from typing import Any

from figures import BenchError
from measure import HERE, measured, script

EVENTS_PER_CAR = 1000  # over 90 days: one in about two hours
MOST_AT_ONCE = 1_000_000
"""A lake of more events is made of fleets of so many: one file of ten times as much has 19 GB."""


@dataclass(frozen=True)
class Spec:
    """One input.

    events, files  how many events, spread over how many files (NDJSON)
    cars           how many cars share them
    duplicates, bad, corrections, stale, late  shares, as `carlake.simulator.fleet.Fleet` has them
    follows        the events come after the 90 days of the fleet with the same cars and none has an id of that fleet's
    another        another fleet of the same size for each number, of cars that no other has
    """

    events: int
    files: int = 1
    cars: int = 1
    duplicates: float = 0.05
    bad: float = 0.01
    corrections: float = 0.02
    stale: float = 0.01
    late: float = 0.02
    follows: bool = False
    another: int = 0


@dataclass(frozen=True)
class Input:
    """An input that lies on disk.

    records, events, duplicates, bad  what `carlake verify` would count: bad is the number of quarantined records
    columns  types of the records for the floor, as DuckDB infers them from records without faults
    """

    folder: Path
    paths: tuple[Path, ...]
    size: int
    records: int
    events: int
    duplicates: int
    bad: int
    columns: str


def fleet(events: int, **shares: Any) -> Spec:
    """The fleet that the targets speak of: nested events over 90 days, 5 % duplicates, 1 % bad, some late and corrected."""
    return Spec(events=events, cars=cars_of(events), **shares)


def fleets(events: int) -> list[Spec]:
    """The fleets that make up a lake of so many events."""
    whole, rest = divmod(events, MOST_AT_ONCE)
    return [fleet(part, another=number) for number, part in enumerate([MOST_AT_ONCE] * whole + [rest] * bool(rest))]


def cars_of(events: int) -> int:
    """How many cars send so many events in 90 days."""
    return max(10, events // EVENTS_PER_CAR)


def at_hand(spec: Spec, cache: Path) -> Input:
    """The input, from the cache or made now. Raises BenchError if it cannot be made."""
    folder = cache / f"{spec.events}-events-{spec.files}-files-{_digest(spec)}"
    if not folder.exists():
        for old in cache.glob(f"{spec.events}-events-{spec.files}-files-*"):
            if _spec_of(old) in (asdict(spec), None):  # made by an older simulator, or broken off
                shutil.rmtree(old, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
        try:
            measured(script("inputs.py", json.dumps(asdict(spec)), draft))
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    del about["spec"]
    return Input(folder=folder / "files", paths=tuple(sorted((folder / "files").iterdir())), **about)


def _spec_of(folder: Path) -> Any:
    try:
        return json.loads((folder / "about.json").read_text(encoding="utf-8"))["spec"]
    except (OSError, ValueError, KeyError):
        return None


def _digest(spec: Spec) -> str:
    """Of the spec and of the code that makes the files, so that a changed simulator is not measured with old files."""
    found = util.find_spec("carlake")
    if found is None or not found.submodule_search_locations:
        raise BenchError("carlake is not installed in this Python; run `make setup` first.")
    hashed = hashlib.sha256(json.dumps(asdict(spec)).encode())
    for source in sorted((Path(found.submodule_search_locations[0]) / "simulator").glob("*.py")):
        hashed.update(source.read_bytes())
    hashed.update((HERE / "inputs.py").read_bytes())
    return hashed.hexdigest()[:12]


def make(spec: Spec, folder: Path) -> None:
    """Write the files and, beside them, `about.json`."""
    from carlake.simulator.files import write
    from carlake.simulator.fleet import Fleet

    files = folder / "files"
    base = Fleet(
        events=spec.events,
        cars=spec.cars,
        duplicates=spec.duplicates,
        bad=spec.bad,
        corrections=spec.corrections,
        stale=spec.stale,
        late=spec.late,
        seed=Fleet.seed + spec.another,
    )
    if spec.follows:
        files.mkdir()
        texts = _following(spec, base.start + timedelta(days=base.days))
        for number in range(spec.files):
            share = spec.events // spec.files + (number < spec.events % spec.files)
            content = "".join(f"{text}\n" for text in islice(texts, share))
            (files / f"later-{number:06d}.ndjson").write_text(content, encoding="utf-8")
        size = sum(path.stat().st_size for path in files.iterdir())
        counts = {"size": size, "records": spec.events, "events": spec.events, "duplicates": 0, "bad": 0}
    else:
        written = write(base, files, files=min(spec.files, base.records))
        counts = {
            "size": written.size,
            "records": written.records,
            "events": written.events,
            "duplicates": written.duplicates,
            "bad": sum(written.bad.values()),
        }
    clean = write(replace(base, events=2000, cars=min(spec.cars, 50), bad=0.0), folder / "clean")
    about = {"spec": asdict(spec), **counts, "columns": _columns(clean.paths[0])}
    shutil.rmtree(folder / "clean")
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _following(spec: Spec, start: date) -> Iterator[str]:
    """Events of another fleet under the names of the cars of the one that it follows."""
    from carlake.simulator.fleet import Fleet, records

    known = list(dict.fromkeys(record.car for record in records(Fleet(events=5 * spec.cars, cars=spec.cars))))
    shares = dict.fromkeys(("duplicates", "corrections", "stale", "late", "bad"), 0.0)
    strangers: dict[str, str] = {}
    later = Fleet(events=spec.events, cars=spec.cars, days=1, start=start, seed=1 + 7 * spec.files, **shares)
    for record in records(later):
        name = strangers.setdefault(record.car, known[len(strangers) % len(known)])
        yield str(record.text).replace(record.car, name)


def _columns(path: Path) -> str:
    import duckdb

    quoted = str(path).replace("'", "''")
    rows = duckdb.sql(f"DESCRIBE FROM read_json('{quoted}', sample_size = -1)").fetchall()
    return json.dumps({row[0]: row[1] for row in rows})


if __name__ == "__main__":
    make(Spec(**json.loads(sys.argv[1])), Path(sys.argv[2]))
