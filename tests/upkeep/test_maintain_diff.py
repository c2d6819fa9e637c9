"""What changed between two snapshots, whatever was compacted, retained, brought back or expired between them.

A plain model keeps the rows that each snapshot means: quiet snapshots change none, a rollback brings back those of its
target. The engine's difference of any two snapshots has to be the model's.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.table.update import AssertRefSnapshotId, RemoveSnapshotsUpdate

from carlake.catalogs.by_name import open_catalog
from carlake.contracts.load import load
from carlake.engines.duckdb.engine import DuckDBEngine
from carlake.engines.manifests import KIND, live_files
from carlake.engines.schemas import iceberg_schema, partition_spec
from carlake.engines.snapshots import stage_snapshot
from carlake.lake import create
from carlake.refresh.commit import commit
from carlake.refresh.plan import head_of
from carlake.settings import Settings
from carlake.tables.table import Column, Table

TABLE = Table(
    name="rows",
    doc="one row per number",
    source=None,
    scope={"key": "key"},
    key=("key",),
    reads="delta",
    select="",
    columns=(Column("part", "string", "partition", required=True), Column("key", "long", "number", required=True)),
    partition=(("part", "identity"),),
    sort=("key",),
)
Rows = Counter[tuple[str, int]]

ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), ROWS),
        st.tuples(st.just("replace"), st.integers(0, 5), ROWS),
        st.tuples(st.just("compact"), st.integers(1, 4), st.just(None)),
        st.tuples(st.just("retain"), st.integers(0, 5), st.just(None)),
        st.tuples(st.just("return"), st.integers(0, 6), st.just(None)),
    ),
    min_size=3,
    max_size=8,
)


@dataclass
class History:
    """A real table, and beside it what each of its snapshots means and holds."""

    engine: DuckDBEngine
    catalog: Any
    means: dict[int | None, Rows] = field(default_factory=lambda: {None: Counter()})
    line: list[int | None] = field(default_factory=lambda: [None])

    def __post_init__(self) -> None:
        self.table = TABLE
        self.catalog.create_table(
            f"carlake.{TABLE.name}",
            schema=iceberg_schema(TABLE),
            partition_spec=partition_spec(TABLE),
            properties={"format-version": "2"},
        )

    @property
    def head(self) -> int | None:
        return head_of(self.engine.load(TABLE.name, fresh=True))

    def publish(self, staged: Any, meaning: Rows) -> None:
        commit(self.catalog, self.engine.load(TABLE.name, fresh=True), staged)
        self.means[staged.snapshot_id] = meaning
        self.line.append(staged.snapshot_id)

    def relation(self, rows: list[tuple[str, int]]) -> str:
        return self.engine.table(
            pa.table({"part": [r[0] for r in rows], "key": pa.array([r[1] for r in rows], pa.int64())})
        )

    def do(self, step: tuple[Any, ...]) -> None:
        kind, what, more = (*step, None)[:3]
        head, engine = self.head, self.engine
        now = self.means[head]
        if kind == "append":
            added = self.relation(what)
            self.publish(engine.stage(TABLE, head, None, added, {KIND: "refresh"}), now + Counter(what))
        elif kind == "replace":
            located = engine.scan(TABLE.name, head, located=True)
            held = engine.rows(f"SELECT part, key, _file, _pos FROM {located} WHERE key = {what}")
            removed = engine.keep(f"SELECT _file, _pos FROM {located} WHERE key = {what}") if held else None
            # Only what is still held can go: what retention dropped keeps its meaning.
            gone = Counter((str(part), int(str(key))) for part, key, _, _ in held)
            staged = engine.stage(TABLE, head, removed, self.relation(more), {KIND: "refresh"})
            self.publish(staged, now - gone + Counter(more))
        elif kind in ("compact", "retain") and head is not None:
            files = sorted(file.file_path for file in live_files(engine.load(TABLE.name), head))
            chosen = files[:what] if kind == "compact" else files
            if not chosen:
                return
            select = "SELECT * FROM {rows}" + (f" WHERE key <> {what}" if kind == "retain" else "")
            quiet = {"compact": "compaction", "retain": "retention"}[kind]
            self.publish(engine.rewrite(TABLE, head, chosen, select).stage(head, {KIND: quiet}), now)
        elif kind == "return" and head is not None:
            target = self.line[what % len(self.line)]
            iceberg = engine.load(TABLE.name)
            was = {file.file_path: file for file in live_files(iceberg, target)}
            held_now = {file.file_path: file for file in live_files(iceberg, head)}
            come = [file for path, file in was.items() if path not in held_now]
            go = [file for path, file in held_now.items() if path not in was]
            staged = stage_snapshot(
                iceberg, TABLE.name, come, go, {KIND: "rollback"}, base=head, rows_added=0, rows_removed=0
            )
            self.publish(staged, self._held(target))

    def _held(self, snapshot: int | None) -> Rows:
        return Counter(
            (str(p), int(str(k))) for p, k in self.engine.rows(f"SELECT part, key FROM {self.scan(snapshot)}")
        )

    def scan(self, snapshot: int | None) -> str:
        return self.engine.scan(TABLE.name, snapshot)

    def changed(self, since: int | None, until: int | None) -> tuple[Rows, Rows] | None:
        changed = self.engine.diff(TABLE.name, since, until)
        if changed is None:
            return None
        found = []
        for relation in (changed.added, changed.gone):
            rows = self.engine.rows(f"SELECT part, key FROM {relation}")
            found.append(Counter((str(part), int(str(key))) for part, key in rows))
        assert (changed.rows_added, changed.rows_gone) == tuple(sum(rows.values()) for rows in found)
        return found[0], found[1]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    lake = create(tmp_path_factory.mktemp("diff") / "lake")
    catalog = open_catalog(Settings(), lake)
    engine = DuckDBEngine(catalog, "carlake", {TABLE.name: TABLE}, load(), lake.scratch, threads=1)
    yield engine
    engine.close()


def _played(engine: DuckDBEngine, steps: list[tuple[Any, ...]]) -> History:
    engine.forget()
    if engine.catalog.table_exists(f"carlake.{TABLE.name}"):
        engine.catalog.drop_table(f"carlake.{TABLE.name}")
    history = History(engine, engine.catalog)
    for step in steps:
        history.do(step)
    return history


@settings(max_examples=25)
@given(STEPS)
def test_any_two_snapshots(engine: DuckDBEngine, steps: list[tuple[Any, ...]]) -> None:
    history = _played(engine, steps)
    returned = any(step[0] == "return" for step in steps)
    for since, until in itertools.combinations(history.line, 2):
        engine.forget()
        meant, now = history.means[since], history.means[until]
        found = history.changed(since, until)
        assert found is not None
        if returned and any(step[0] == "retain" for step in steps):
            # A rollback across a retention means what it holds; only the sum of steps is defined then.
            continue
        assert found == (now - meant, meant - now), (steps, since, until)


@settings(max_examples=8)
@given(STEPS, st.integers(1, 6))
def test_after_expiry_a_difference_is_right_or_unknown(
    engine: DuckDBEngine, steps: list[tuple[Any, ...]], kept: int
) -> None:
    history = _played(engine, [step for step in steps if step[0] not in ("retain", "return")])
    head = history.head
    going = [snapshot for snapshot in history.line[1:-kept] if snapshot is not None]
    if going:
        iceberg = engine.load(TABLE.name, fresh=True)
        engine.catalog.commit_table(
            iceberg,
            (AssertRefSnapshotId(ref="main", snapshot_id=head),),
            (RemoveSnapshotsUpdate(snapshot_ids=going),),
        )
    for since in history.line:
        engine.forget()
        found = history.changed(since, head) if head is not None else None
        if since in going or (since is None and going):
            assert found is None
        elif head is not None:
            meant, now = history.means[since], history.means[head]
            assert found == (now - meant, meant - now)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [("append", [("a", 1)]), ("append", [("a", 2)]), ("compact", 2), ("return", 2)], id="brought back"
        ),
        pytest.param(
            [("append", [("a", 1)]), ("append", [("a", 2)]), ("compact", 2), ("replace", 2, [("a", 3)])],
            id="changed after it was merged",
        ),
        pytest.param(
            [
                ("append", [("a", 1)]),
                ("append", [("a", 2)]),
                ("compact", 2),
                ("return", 2),
                ("compact", 2),
                ("return", 2),
            ],
            id="brought back twice",
        ),
    ],
)
def test_files_that_came_more_than_once(engine: DuckDBEngine, steps: list[tuple[Any, ...]]) -> None:
    history = _played(engine, steps)
    for since, until in itertools.combinations(history.line, 2):
        engine.forget()
        meant, now = history.means[since], history.means[until]
        assert history.changed(since, until) == (now - meant, meant - now), (since, until)
