"""A lake driven at random, beside a plain Python model that says what it must hold.

The model is a list of landed objects and what has been read of them; `model.py` says what silver and gold are then.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from carlake.errors import NotFoundError
from carlake.lakehouse import Lakehouse
from carlake.settings import Settings
from carlake.upkeep.maintenance.maintain import maintain
from crashes.matrix import a_minute_passes
from lakes import ALERTS, MODIFIED, NOON, TODAY, flat, held, lakehouse, nested, put
from model import SILVER, model_of_records

_MEMORY = Path("/dev/shm")
_RULES = "rules:\n  OVERHEAT_ENGINE: off\n"
_CARS, _EVENTS = ("A", "B", "C"), ("e1", "e2", "e3")
_TABLES = 6


class _Gone(BaseException):
    """The process ends here, without a word: nothing of it may clean up."""


@dataclass
class Model:
    """What was landed and not yet read, what was read, and what is held.

    landed     objects in landing: (records, modification time)
    read       records that bronze has, each with its object's modification time, oldest first
    runs       for each run that changed silver or gold: its id, and the number of records read before it
    held       the number of records that the tables hold while they are held, None while they are not
    quiet      the rule about hot engines is off
    forgotten  cars whose records are refused
    """

    landed: list[tuple[tuple[str, ...], datetime]] = field(default_factory=list)
    read: list[tuple[str, datetime]] = field(default_factory=list)
    contents: set[tuple[str, ...]] = field(default_factory=set)
    runs: list[tuple[str, int]] = field(default_factory=list)
    held: int | None = None
    quiet: bool = False
    forgotten: set[str] = field(default_factory=set)
    day: date = TODAY

    def take(self) -> None:
        """A run reads all that lies in landing; content that was read before adds nothing."""
        for records, modified in sorted(self.landed, key=lambda each: each[1]):
            if records not in self.contents:
                self.contents.add(records)
                self.read += [(record, modified) for record in records]
        self.landed.clear()

    def forget(self, car: str) -> None:
        """A car's records are nowhere any more, and refused when they come again."""
        self.forgotten.add(car)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """What silver and gold must hold."""
        seen = self.read if self.held is None else self.read[: self.held]
        kept = [(text, at) for text, at in seen if not any(f'"{car}"' in text for car in self.forgotten)]
        lake = model_of_records([(text.encode(), at) for text, at in kept], self.day)
        if self.quiet:
            lake[ALERTS] = [row for row in lake[ALERTS] if row["alert_type"] != "OVERHEAT_ENGINE"]
        return lake


class LakeMachine(RuleBasedStateMachine):
    """Everything that a person and a fleet do to a lake, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="carlake-model-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.model = Model()
        self.number = itertools.count()
        self.adopted: list[Path] = []
        self.house = self._open()

    def _open(self) -> Lakehouse:
        settings = Settings(
            threads=1, rules=self.adopted, keep_snapshots=8, compact_files=2, keep_metadata_files=3,
            reader_grace_minutes=0, orphan_age_hours=0, maintenance="off",
        )  # fmt: skip
        return lakehouse(self.folder / "lake", settings, at=NOON)

    def teardown(self) -> None:
        """Throw the lake away."""
        self.house.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def first(self) -> None:
        """A lake always has had a run, so that every table is there."""
        self._land((nested("A", "e0", "2025-10-01T00:00:00Z", engine_temp_celsius=120, trip_distance_km=1),))
        self.run()

    # -- what arrives ------------------------------------------------------------------------------------------------

    def _land(self, records: tuple[str, ...], copies: int = 1) -> None:
        number = next(self.number)
        modified = MODIFIED + timedelta(seconds=number)
        for copy in range(copies):
            put(self.house.lake.landing / f"{number}-{copy}.json", *records, modified=modified)
        self.model.landed += [(records, modified)] * copies

    @rule(
        car=st.sampled_from(_CARS), event=st.sampled_from(_EVENTS), version=st.integers(0, 5), hot=st.booleans(),
        copies=st.integers(1, 2),
    )  # fmt: skip
    def land(self, car: str, event: str, version: int, hot: bool, copies: int) -> None:
        """An event, or another version of it, newer or older; perhaps under two names."""
        values = {"engine_temp_celsius": 130 if hot else 90, "trip_distance_km": version}
        text = nested(car, event, f"2025-10-{version + 1:02d}T00:00:00Z", f"2025-11-01T0{version}:00:00Z", **values)
        self._land((text,), copies)

    @rule(car=st.sampled_from(_CARS), mileage=st.integers(0, 3))
    def land_flat(self, car: str, mileage: int) -> None:
        """An event of the flat shape, beside a record that nobody understands."""
        self._land((flat(car, "2025-10-15T00:00:00Z", current_mileage_km=99_999 + mileage), f"bad {car} {mileage}"))

    @precondition(lambda self: self.model.contents)
    @rule(data=st.data())
    def land_again(self, data: st.DataObject) -> None:
        """Content that was landed before."""
        self._land(data.draw(st.sampled_from(sorted(self.model.contents))))

    # -- what is done ------------------------------------------------------------------------------------------------

    @rule()
    def run(self) -> None:
        """A run."""
        before = len(self.model.read)
        report = self.house.run()
        self.model.take()
        assert report.status == ("succeeded" if self.model.held is None else report.status), report
        if self.model.held is None and len(self.model.read) > before:
            self.model.runs.append((report.run_id, before))

    @rule(commit=st.integers(0, _TABLES - 1), landed=st.booleans())
    def crash_in_a_run(self, commit: int, landed: bool) -> None:
        """A run that ends before or after one of its commits; then another process."""
        real, left = self.house.catalog.commit_table, [commit]

        def commit_table(*args: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not landed:
                raise _Gone
            answer = real(*args)
            if left[0] < 0:
                raise _Gone
            return answer

        self.house.catalog.commit_table = commit_table
        try:
            self.house.run()
        except _Gone:
            pass
        # Nothing is closed: closing writes down what was done.
        self.house.engine.close()
        self.house = self._open()
        a_minute_passes(self.house.lake.root)
        self.run()

    @precondition(lambda self: self.model.held is None)
    @rule()
    def edit_a_rule(self) -> None:
        """A rules file is added or taken away, and adopted."""
        path = self.folder / "rules.yaml"
        path.write_text(_RULES)
        self.adopted = [] if self.adopted else [path]
        self.house.close()
        self.house = self._open()
        assert self.house.rebuild().status == "succeeded"
        self.model.quiet = bool(self.adopted)

    @precondition(lambda self: self.model.held is None and self.model.runs and not self.model.forgotten)
    @rule(back=st.integers(1, 3))
    def roll_back(self, back: int) -> None:
        """Return to what was before one of the last runs."""
        run, read = self.model.runs[-min(back, len(self.model.runs))]
        quiet = self.model.quiet
        try:
            self.house.rollback(run)
        except NotFoundError:
            return  # no snapshot that is kept is of that run
        except Exception as error:
            if "not kept" in str(error) or "first" in str(error):
                return
            raise
        self.model.held, self.model.quiet = read, quiet

    @precondition(lambda self: self.model.held is not None)
    @rule()
    def resume(self) -> None:
        """Drop the hold, and catch up; definitions that a rollback brought back are adopted again."""
        self.house.resume()
        self.model.held = None
        assert self.house.rebuild().status == "succeeded"
        self.run()

    @precondition(lambda self: self.model.held is None)
    @rule()
    def rebuild(self) -> None:
        """Make every table again."""
        assert self.house.rebuild().status == "succeeded"

    @rule()
    def maintain(self) -> None:
        """All of maintenance."""
        done = maintain(self.house)
        assert done.ok, done

    @precondition(lambda self: self.model.held is None and len(self.model.forgotten) < 2)
    @rule(car=st.sampled_from(_CARS[1:]))
    def forget(self, car: str) -> None:
        """Take a car out of everything."""
        self.run()
        self.house.forget(car, unknown=True)
        self.model.forget(car)

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def the_tables_are_what_the_model_says(self) -> None:
        """At any time: readers see what was read last, whole."""
        rows, wanted = held(self.house), self.model.rows()
        for name in wanted:
            if name == ALERTS and self.model.held is not None:
                continue  # the rules of then may have been others
            assert rows[name] == wanted[name], name

    def check_whole(self) -> None:
        """The slow part, at the end."""
        if self.model.held is not None:
            self.resume()
        self.run()
        verified = self.house.verify()
        assert (verified.problems, verified.behind) == ((), ())
        assert held(self.house)[SILVER] == self.model.rows()[SILVER]
