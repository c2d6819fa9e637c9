"""One text, two engines: the tables' SELECTs and the engine's own SQL give the same rows on both, edges included."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from carlake.engines.protocol import Engine, anti_join, semi_join
from carlake.engines.schemas import arrow_schema
from carlake.errors import SchemaError
from carlake.lakehouse import Lakehouse
from carlake.refresh.compute import fill
from carlake.rules.load import load_rules
from carlake.settings import Settings
from carlake.tables.declare import GOLD, SILVER, declare
from carlake.tables.silver_car_telemetry import parsed_columns
from carlake.tables.table import Column, Table
from lakes import lakehouse
from spark.sessions import spark_settings

TABLES = declare({}, load_rules())
VALUES = {"today": "DATE '2025-11-01'", "now": "TIMESTAMP WITH TIME ZONE '2025-11-01 12:00:00.000001+00'"}

# Halves that binary cannot hold, ties of three decimals and of one, both zeros, and what is written with an exponent.
DOUBLES = [0.0, -0.0, 2.5, 2.675, 0.0005, 0.0015, 1e-7, 5e-324, 513.7705, 9.95, 100.05, 99999.95, 1e9, 123456789.0005]
TEXTS = [
    "",
    "A",
    "a",
    "é",
    "e\u0301",
    "\uffff",
    "\U0001f697",
    "\U00010000",
    "Z" * 40,
    " A",
    "'",
    "%_",
    "null",
    "10",
    "9",
]
TIMES = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2000, 2, 29, tzinfo=UTC),
    datetime(2025, 9, 30, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2025, 10, 1, tzinfo=UTC),
    datetime(2025, 10, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2099, 12, 31, 23, 0, 0, 1, tzinfo=UTC),
]
DATES = [
    date(1900, 1, 1),
    date(2025, 10, 31),
    date(2025, 11, 1),
    date(2026, 1, 30),
    date(2026, 1, 31),
    date(2100, 12, 31),
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    folder: Path = tmp_path_factory.mktemp("texts")
    with (
        lakehouse(folder / "embedded", Settings(threads=1)) as embedded,
        lakehouse(folder / "spark", spark_settings()) as on_spark,
    ):
        yield embedded.engine_for("run"), on_spark.engine_for("run")


def given_rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, in an order of their own; doubles by their bits, or NaN and the zeros would hide."""
    return sorted((tuple(map(_told, row)) for row in engine.rows(sql)), key=str)


def _told(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def same(engines: tuple[Engine, Engine], sql: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
    """What both engines give for a text over these tables; they must not differ."""
    found = []
    for engine in engines:
        with engine.session():
            found.append(given_rows(engine, fill(sql, {name: engine.table(rows) for name, rows in tables.items()})))
    embedded, on_spark = found
    assert embedded == on_spark
    return embedded


PARSED = parsed_columns()
_ROWS = 60
# What a contract may give: no NaN, no negative measurement, text that JSON can hold.
_DOUBLES = st.lists(
    st.one_of(st.floats(0, 1e9, allow_nan=False), st.integers(0, 10**7).map(lambda n: n / 20000)),
    min_size=10,
    max_size=10,
)
_TEXTS = st.lists(st.text(max_size=6).filter(lambda text: "\0" not in text), min_size=6, max_size=6)


def parsed_rows(pick: random.Random, doubles: list[float], texts: list[str]) -> pa.Table:
    """Accepted records of these values and the edges above: few cars and events, so that versions and ties meet."""
    pools: dict[str, list[Any]] = {
        "string": [*TEXTS, *texts],
        "int": [1886, 2000, 2100],
        "long": [0, 1],
        "double": [*DOUBLES, *doubles],
        "timestamptz": TIMES,
        "date": DATES,
    }
    own: dict[str, list[Any]] = {
        "car_chassis": ["A", "B", "\U0001f697", "\uffff"],
        "event_id": ["e1", "e2", "é", "\U00010000"],
        "event_version": TIMES[4:6],
    }

    def value(column: Column) -> Any:
        pool = own.get(column.name) or pools[column.type]
        return None if not column.required and pick.random() < 0.4 else pick.choice(pool)

    columns: dict[str, list[Any]] = {column.name: [value(column) for _ in range(_ROWS)] for column in PARSED}
    columns["source_row"] = list(range(_ROWS))
    return pa.table(columns, schema=arrow_schema(PARSED))


def table_of(engine: Engine, table: Table, sql: str) -> pa.Table:
    """A query's rows as the table's columns, sorted by its key."""
    found: pa.Table = engine.arrow(sql)  # type: ignore[attr-defined]
    assert tuple(found.column_names) == table.column_names
    typed = found.cast(arrow_schema(table.columns))
    return typed.sort_by([(name, "ascending") for name in table.key])


@settings(max_examples=3, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), doubles=_DOUBLES, texts=_TEXTS)
def test_every_select_gives_the_same_rows(
    engines: tuple[Engine, Engine], seed: int, doubles: list[float], texts: list[str]
) -> None:
    """Silver of two batches, the second onto the first, and each gold table of that."""
    silver = TABLES[SILVER]
    nothing = arrow_schema(silver.columns).empty_table()
    outcomes: list[dict[str, list[str]]] = []
    for engine in engines:
        with engine.session():
            told: dict[str, list[str]] = {}
            before = nothing
            pick = random.Random(seed)
            for batch in (parsed_rows(pick, doubles, texts) for _ in range(2)):
                filled = {"source": engine.table(batch), "self": engine.table(before), **VALUES}
                for name, sql in silver.steps.items():
                    filled[name] = engine.keep(fill(sql, filled))
                before = table_of(engine, silver, fill(silver.select, filled))
            told[SILVER] = [repr(row) for row in before.to_pylist()]
            source = engine.table(before)
            for name in GOLD:
                table = TABLES[name]
                rows = table_of(engine, table, fill(table.select, {"source": source, **VALUES}))
                told[name] = [repr(row) for row in rows.to_pylist()]
            outcomes.append(told)
    embedded, on_spark = outcomes
    assert all(embedded[name] for name in (SILVER, *GOLD))
    for name, rows in embedded.items():
        assert rows == on_spark[name], name


def test_text_of_doubles_becomes_the_same_decimals(engines: tuple[Engine, Engine]) -> None:
    """A sum must not depend on whose text of a double is rounded: ties and their neighbours, small and large."""
    ties = [k / 10000 for k in (5, 15, 26755, 5137705, 9999999995, 12345678901235)]
    halves = [k / 100 for k in (5, 15, 995, 10005, 9999995, 4294967295)]
    near = [n for tie in (*ties, *halves) for n in (tie, tie * (1 + 2**-52), tie * (1 - 2**-52))]
    table = pa.table({"x": pa.array([*DOUBLES, *near, 1e15 / 7, 2.0**53, None], pa.float64())})
    rows = same(
        engines,
        "SELECT x, CAST(CAST(x AS VARCHAR) AS DECIMAL(38,3)) AS a, CAST(CAST(CAST(x AS VARCHAR) AS DECIMAL(38,1)) AS VARCHAR) "
        "AS b FROM {edges} AS e",
        edges=table,
    )
    assert (repr(513.7705), repr(Decimal("513.771")), repr("513.8")) in rows
    assert (repr(1e-07), repr(Decimal("0.000")), repr("0.0")) in rows


def test_order_of_nulls_texts_and_zeros(engines: tuple[Engine, Engine]) -> None:
    keys = [*TEXTS, None]
    table = pa.table(
        {
            "t": [t for t, _ in itertools.product(keys, (0.0, None))],
            "x": pa.array([x for _, x in itertools.product(keys, (0.0, None))], pa.float64()),
        }
    )
    windows = [
        "ORDER BY t, x",
        "ORDER BY t DESC, x DESC",
        "ORDER BY x NULLS FIRST, t",
        "ORDER BY x DESC NULLS FIRST, t NULLS FIRST",
    ]
    numbers = ", ".join(f"row_number() OVER ({window}) AS n{place}" for place, window in enumerate(windows))
    rows = same(engines, f"SELECT t, x, {numbers} FROM {{edges}} AS e", edges=table)
    assert len(rows) == 2 * len(keys)
    same(engines, "SELECT min(t) AS a, max(t) AS b, min(x) AS c, count(DISTINCT t) AS d FROM {edges} AS e", edges=table)


def test_sameness_of_rows(engines: tuple[Engine, Engine]) -> None:
    """What tells a changed row from one that stays: nulls, zeros, NaN, texts that look alike."""
    values: list[tuple[str | None, float | None]] = [
        (None, None), ("A", 0.0), ("A", -0.0), ("A", float("nan")), ("a", 0.0), ("é", 1.0), ("e\u0301", 1.0), ("A", None),
        ("A", None),
    ]  # fmt: skip
    one = pa.table({"t": [t for t, _ in values], "x": pa.array([x for _, x in values], pa.float64())})
    other = one.slice(1, 4)
    same(engines, "(SELECT * FROM {one}) EXCEPT ALL (SELECT * FROM {other})", one=one, other=other)
    match = "w.t IS NOT DISTINCT FROM n.t AND w.x IS NOT DISTINCT FROM n.x"
    left = same(engines, f"SELECT n.t FROM {{one}} AS n ANTI JOIN {{other}} AS w ON {match}", one=one, other=other)
    assert len(left) == 5, "NaN is NaN, and a zero is a zero"
    for join in (semi_join, anti_join):
        text = join("s.t, s.x", "{one}", "{other}", {"t": "t"})
        same(engines, text, one=one, other=other)


def test_times_and_days(engines: tuple[Engine, Engine]) -> None:
    table = pa.table({"m": pa.array(TIMES, pa.timestamp("us", "UTC")), "d": pa.array((DATES * 2)[: len(TIMES)])})
    rows = same(
        engines,
        "SELECT m, d, epoch_us(m) AS us, CAST(m AS DATE) AS day, CAST(EXTRACT(year FROM m) AS INT) AS y, "
        "date_diff('day', d, DATE '2025-11-01') AS n, m < {now} AS past, d < {today} AS gone, "
        "CAST(date_trunc('month', m) + INTERVAL 1 month AS TIMESTAMP WITH TIME ZONE) AS next FROM {edges} AS e"
        .replace("{now}", VALUES["now"]).replace("{today}", VALUES["today"]),
        edges=table,
    )  # fmt: skip
    assert len(rows) == len(TIMES)
    assert all(row[0].endswith("+00:00") for row in rows), "a time keeps its zone"


def test_rows_of_other_columns_are_refused_before_a_file_is_written(small_folder: Path) -> None:
    """As on the embedded engine: each difference is named."""
    with lakehouse(small_folder / "lake", spark_settings()) as house:
        state = house.declared[GOLD[0]]
        context = house.context()
        iceberg = context.load(state.name)
        with context.engine.session():
            columns = [f"CAST(NULL AS VARCHAR) AS {name}" for name in reversed(state.column_names[1:])]
            added = context.engine.view(f"SELECT {', '.join(columns)}")
            with pytest.raises(SchemaError) as refused:
                context.engine.stage(state, None, None, added, {})
        assert "14: declared gold_processing_timestamp timestamp, got nothing" in refused.value.what
        assert "1: declared car_chassis string, got gold_processing_timestamp string" in refused.value.what
        assert not list(Path(str(iceberg.location()).removeprefix("file://")).rglob("*.parquet"))


def test_a_spark_without_a_runtime_is_refused() -> None:
    from carlake.engines.spark.session import runtime_for
    from carlake.errors import SettingsError

    assert runtime_for("4.1.4").endswith("iceberg-spark-runtime-4.1_2.13:1.12.0")
    assert runtime_for("3.5.7").endswith("iceberg-spark-runtime-3.5_2.12:1.11.0")
    for version in ("4.2.0", "3.4.1", "5.0.0.dev1"):
        with pytest.raises(SettingsError) as refused:
            runtime_for(version)
        assert version in refused.value.what
        assert "4.1" in refused.value.advice
        assert "3.5" in refused.value.advice


def test_a_session_has_what_the_texts_need(small_folder: Path) -> None:
    """Whatever properties are given."""
    properties = {"spark.sql.session.timeZone": "Asia/Tokyo", "spark.sql.ansi.enabled": "false"}
    with lakehouse(small_folder / "lake", spark_settings(spark_properties=properties)) as house:
        conf = house.engine_for("run").spark.conf  # type: ignore[attr-defined]
        assert (conf.get("spark.sql.session.timeZone"), conf.get("spark.sql.ansi.enabled")) == ("UTC", "true")
        assert Lakehouse.open(house.lake.root, house.settings).engine_for("verify").name == "duckdb"
