from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from carlake.engines.duckdb.files import local_path
from carlake.engines.duckdb.query import QuerySession
from carlake.engines.manifests import forget_cached, live_files
from carlake.errors import NotFoundError, QueryError
from carlake.lakehouse import Lakehouse
from carlake.look.query import query
from carlake.look.statement import read_statement
from lakes import without_tags

from .conftest import SECOND, Built, put


def data_files(house: Lakehouse, name: str) -> list[str]:
    table = house.catalog.load_table(f"carlake.{name}")
    return [local_path(file.file_path) for file in live_files(table, table.current_snapshot().snapshot_id)]


def test_every_table_by_its_bare_name_and_with_the_namespace(built: Built) -> None:
    for name, table in built.house.declared.items():
        rows = built.house.query(f"FROM {name}")
        assert tuple(rows.column_names) == table.column_names
        assert built.rows(f"SELECT count(*) AS n FROM carlake.{name}") == [{"n": rows.num_rows}]
    assert built.rows(
        "SELECT count(*) AS n FROM Silver_Car_Telemetry JOIN carlake.gold_car_current_state USING (car_chassis)"
    ) == [{"n": 3}]


def test_times_are_utc_whatever_the_process_thinks(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    rows = built.house.query(
        "SELECT event_timestamp, CAST(event_timestamp AS VARCHAR) AS text, event_timestamp::DATE AS day "
        "FROM silver_car_telemetry WHERE event_id = 'e2'"
    )
    assert rows.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert rows["text"].to_pylist() == ["2025-12-04 08:00:00+00"]
    assert str(rows["day"].to_pylist()[0]) == "2025-12-04"


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (FROM silver_car_telemetry) SELECT count(*) FROM a;",
        "-- a comment\nSELECT 1 /* and another */",
        "VALUES (1), (2)",
        "DESCRIBE silver_car_telemetry",
        "SUMMARIZE gold_car_current_state",
        "EXPLAIN SELECT count(*) FROM silver_car_telemetry",
        "explain /* all */ analyze SELECT count(*) FROM silver_car_telemetry",
        "EXPLAIN (FORMAT json) SELECT 1",
        "PIVOT gold_performance_alerts_log ON alert_type IN ('LOW_FUEL') USING count(*)",
        "SELECT * FROM range(3) AS t(a) JOIN generate_series(1, 2) AS u(b) ON a = b",
        "SELECT unnest([1, 2]) UNION ALL SELECT 3",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) FROM n",
        "SELECT * FROM information_schema.columns WHERE table_name = 'ops_runs'",
    ],
)
def test_what_reads_is_run(built: Built, sql: str) -> None:
    assert built.house.query(sql).num_columns > 0


def test_listing_tables_shows_them_all(built: Built) -> None:
    assert set(built.house.query("SHOW TABLES")["name"].to_pylist()) == set(built.house.declared)
    listed = built.house.query("SELECT table_name FROM information_schema.tables")["table_name"].to_pylist()
    assert set(listed) == set(built.house.declared)


def test_a_table_that_was_never_made_is_empty(tmp_path: Path) -> None:
    with Lakehouse.create(tmp_path / "lake") as house:
        rows = house.query("FROM gold_car_current_state")
        assert rows.num_rows == 0
        assert tuple(rows.column_names) == house.declared["gold_car_current_state"].column_names


# -- the past ----------------------------------------------------------------------------------------------------------


def test_as_of_reads_every_table_as_it_was(built: Built) -> None:
    sql = "SELECT (SELECT count(*) FROM bronze_car_data) AS bronze, (SELECT count(*) FROM gold_performance_alerts_log) AS alerts"

    def at(moment: datetime) -> tuple[int, ...]:
        return tuple(built.house.query(sql, as_of=moment).to_pylist()[0].values())

    now = tuple(built.rows(sql)[0].values())
    assert at(datetime(2020, 1, 1, tzinfo=UTC)) == (0, 0)
    assert at(built.between) == (2, 0)
    assert at(built.between.replace(tzinfo=None)) == (2, 0)
    assert at(built.between.astimezone(tz=None)) == (2, 0)
    assert at(datetime.now(UTC) + timedelta(days=1)) == now == (12, 3)


def test_as_of_the_very_millisecond_of_a_snapshot_includes_it(built: Built) -> None:
    table = built.house.catalog.load_table("carlake.bronze_car_data")
    second = table.metadata.snapshot_log[1]
    moment = datetime.fromtimestamp(second.timestamp_ms / 1000, UTC)
    count = "SELECT count(*) AS n FROM bronze_car_data"
    assert built.house.query(count, as_of=moment)["n"].to_pylist() == [2]
    assert built.house.query(count, as_of=moment - timedelta(milliseconds=1))["n"].to_pylist() == [1]


def test_a_history_that_is_gone_is_said_and_not_taken_for_an_empty_table(small: Callable[..., Lakehouse]) -> None:
    with small() as house:
        before = datetime.now(UTC)
        put(house.lake.landing / "two.json", SECOND, before)
        assert house.run().status == "succeeded"
        table = without_tags(house.catalog.load_table("carlake.silver_car_telemetry"))
        table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()
        with pytest.raises(NotFoundError, match="silver_car_telemetry is not kept as it was"):
            house.query("FROM silver_car_telemetry", as_of=before)
        # Before the table was made there was nothing to keep.
        assert house.query("FROM silver_car_telemetry", as_of=datetime(2020, 1, 1, tzinfo=UTC)).num_rows == 0
        assert house.query("FROM silver_car_telemetry").num_rows == 2


def test_one_table_at_a_snapshot_the_others_at_their_newest(built: Built) -> None:
    first = built.house.catalog.load_table("carlake.bronze_car_data").metadata.snapshot_log[0].snapshot_id
    rows = built.house.query(
        "SELECT (SELECT count(*) FROM bronze_car_data) AS a, (SELECT count(*) FROM silver_car_telemetry) AS b",
        snapshot=first,
    )
    assert rows.to_pylist() == [{"a": 1, "b": 3}]
    with pytest.raises(QueryError, match="one of table bronze_car_data, which the query does not read"):
        built.house.query("FROM silver_car_telemetry", snapshot=first)
    with pytest.raises(NotFoundError, match="No table has a snapshot 42"):
        built.house.query("FROM silver_car_telemetry", snapshot=42)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE silver_car_telemetry",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO silver_car_telemetry SELECT * FROM silver_car_telemetry",
        "DELETE FROM silver_car_telemetry",
        "UPDATE silver_car_telemetry SET model = 'x'",
        "COPY silver_car_telemetry TO '{free}'",
        "WITH x AS (COPY (SELECT 1) TO '{free}') FROM x",
        "WITH x AS (COPY (SELECT 1) TO '{own}') FROM x",
        # A file that may be read may be overwritten, as far as DuckDB's locks go.
        "WITH x AS (COPY (SELECT 1) TO '{own}' (FORMAT csv, USE_TMP_FILE false)) SELECT * FROM x, silver_car_telemetry",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{own}' (FORMAT csv, USE_TMP_FILE false)) "
        "SELECT * FROM x, silver_car_telemetry",
        "WITH x AS (COPY (SELECT 1) TO '{own}') SELECT * FROM x, silver_car_telemetry",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{own}'",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{own}') FROM x",
        "EXPLAIN (ANALYZE) WITH x AS (COPY (SELECT 1) TO '{own}') FROM x",
        "EXPORT DATABASE '{free}'",
        "ATTACH '{free}' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "RESET threads",
        "SET lock_configuration = false",
        "PRAGMA enable_profiling",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "USE memory",
        "BEGIN",
        "CHECKPOINT",
        "VACUUM",
        "PREPARE p AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "CREATE SECRET s (TYPE s3)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE silver_car_telemetry",
        "",
        "  -- nothing",
        "PIVOT gold_performance_alerts_log ON alert_type USING count(*)",
        "FROM '{own}'",
        "FROM '{other}'",
        'FROM "{other}"',
        "FROM read_parquet('{own}')",
        "FROM read_parquet('{other}')",
        "SELECT (SELECT count(*) FROM read_parquet(['{own}']))",
        "FROM read_text('{toml}')",
        "FROM read_blob('{toml}')",
        "FROM read_csv('{toml}')",
        "FROM read_json('https://example.com/x.json')",
        "FROM 'https://example.com/x.parquet'",
        "FROM 's3://bucket/x.parquet'",
        "FROM glob('/*')",
        "FROM parquet_metadata('{own}')",
        "FROM sniff_csv('{toml}')",
        "FROM query('SELECT 1')",
        "FROM query_table('silver_car_telemetry')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "FROM duckdb_settings()",
        "FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "FROM sqlite_scan('{free}', 'x')",
    ],
)
def test_a_query_neither_writes_nor_reaches_beyond_the_tables(built: Built, tmp_path: Path, sql: str) -> None:
    (own, *_), (other, *_) = data_files(built.house, "silver_car_telemetry"), data_files(built.house, "bronze_car_data")
    before = {path: Path(path).read_bytes() for path in (own, other)}
    named = sql.format(own=own, other=other, toml=built.house.lake.toml, free=tmp_path / "made")
    try:
        with pytest.raises(QueryError) as error:
            built.house.query(named)
        assert error.value.what
        assert list(tmp_path.iterdir()) == []
        assert {path: Path(path).read_bytes() for path in before} == before
    finally:
        for path, content in before.items():
            Path(path).write_bytes(content)


def session_with(built: Built, *names: str) -> QuerySession:
    """A session locked as a query's is, to try what would run if the judgement of the statement let it through."""
    from carlake.look.query import views_of

    session = QuerySession(1 << 28, built.house.lake.scratch)
    session.lock(views_of(built.house.catalog, "carlake", built.house.declared, names, None, None), "carlake")
    return session


@pytest.mark.parametrize(
    "sql",
    [
        "FROM '{other}'",
        "FROM read_parquet('{other}')",
        "FROM read_parquet('{folder}/*.parquet')",
        "FROM read_text('{toml}')",
        "FROM read_csv('/etc/passwd')",
        "FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{free}'",
        "ATTACH '{free}' AS x",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SET threads = 1",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO silver_car_telemetry SELECT * FROM silver_car_telemetry",
    ],
)
def test_the_session_is_locked_also_without_the_judgement_of_the_statement(
    built: Built, tmp_path: Path, sql: str
) -> None:
    (own, *_), (other, *_) = data_files(built.house, "silver_car_telemetry"), data_files(built.house, "bronze_car_data")
    named = sql.format(other=other, folder=Path(own).parent, toml=built.house.lake.toml, free=tmp_path / "made")
    with session_with(built, "silver_car_telemetry") as session:
        assert session.run("SELECT count(*) AS n FROM silver_car_telemetry", 30)["n"].to_pylist() == [3]
        with pytest.raises(Exception, match=r"disabled|locked|read-only|is not an table|Cannot"):
            session._connection.execute(named)
    assert not (tmp_path / "made").exists()


def test_a_python_variable_is_no_table(built: Built) -> None:
    frame = pa.table({"a": [1]})
    with pytest.raises(NotFoundError, match="'frame'"):
        built.house.query("FROM frame")
    with session_with(built) as session, pytest.raises(Exception, match="frame does not exist"):
        session._connection.execute("FROM frame")
    assert frame.num_rows == 1


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_time_limit_that_ends_before_the_query_begins_still_holds(built: Built) -> None:
    with pytest.raises(QueryError, match="stopped after 1e-06 seconds"):
        built.house.query(
            "SELECT count(*) FROM range(100000) a, range(100000) b WHERE a.range * b.range = -1", timeout_seconds=1e-6
        )


def test_the_time_limit_names_itself_and_the_setting(built: Built) -> None:
    with pytest.raises(QueryError, match=r"stopped after 0\.2 seconds") as error:
        built.house.query(
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = -1", timeout_seconds=0.2
        )
    assert "query_timeout_seconds" in error.value.advice
    # The next query is not hit by what is left of it, and no thread stays behind.
    assert built.rows("SELECT 1 AS one") == [{"one": 1}]
    assert not [thread for thread in threading.enumerate() if thread.name == "carlake-query-limit"]


def test_the_memory_limit_names_the_setting(built: Built) -> None:
    with pytest.raises(QueryError, match="needs more memory than the 32 MiB") as error:
        query(
            built.house.catalog,
            "carlake",
            built.house.declared,
            "SELECT len(list(range)) FROM range(30000000)",
            timeout_seconds=60,
            memory_limit_bytes=32 << 20,
            scratch=built.house.lake.scratch,
        )
    assert "memory_limit" in error.value.advice


def test_nothing_is_left_in_the_scratch_folder(built: Built) -> None:
    built.house.query("SELECT 1")
    with pytest.raises(QueryError):
        built.house.query("SELEC")
    assert not list(built.house.lake.scratch.glob("query-*"))


# -- errors ------------------------------------------------------------------------------------------------------------


def error_of(built: Built, sql: str) -> NotFoundError | QueryError:
    with pytest.raises((NotFoundError, QueryError)) as error:
        built.house.query(sql)
    return error.value  # type: ignore[return-value]


def test_an_unknown_table_is_shown_where_it_stands(built: Built) -> None:
    error = error_of(built, "SELECT 'ä',\n  1 FROM performance_alerts_log_slim")
    assert isinstance(error, NotFoundError)
    assert error.what.splitlines()[1:] == ["LINE 2:   1 FROM performance_alerts_log_slim", "                 ^"]
    assert "gold_performance_alerts_log" in error.advice


def test_an_unknown_table_in_an_explained_query_is_shown_where_it_stands(built: Built) -> None:
    error = error_of(built, "EXPLAIN FROM silver")
    assert error.what.splitlines()[1:] == ["LINE 1: EXPLAIN FROM silver", "                     ^"]


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT carChassis FROM gold_car_current_state", "here it is car_chassis"),
        ("SELECT s.currentMileage FROM silver_car_telemetry AS s", "here it is current_mileage_km"),
        ("SELECT * FROM ops_runs WHERE tripMileage > 1", "`|Did you mean|Columns"),
        ("SELECT 1 FROM silver_car_telemetry ORDER BY tripMileage", "here it is trip_distance_km"),
        ("SELECT * FROM gold_car_current_state JOIN silver_car_telemetry USING (carChassis)", "here it is car_chassis"),
        ("SELECT * EXCLUDE (insurance_state) FROM gold_car_current_state", "Did you mean insurance_status"),
        ("SELECT alert_type FROM gold_car_current_state", "gold_performance_alerts_log has it"),
    ],
)
def test_an_unknown_column_names_the_right_one(built: Built, sql: str, hint: str) -> None:
    import re

    error = error_of(built, sql)
    assert isinstance(error, NotFoundError)
    assert re.search(hint, error.advice)


def test_an_unknown_column_is_shown_where_it_stands(built: Built) -> None:
    error = error_of(built, "SELECT\n  carChassis\nFROM gold_car_current_state")
    assert error.what.splitlines() == [
        "There is no column 'carChassis' in gold_car_current_state.",
        "LINE 2:   carChassis",
        "          ^^^^^^^^^^",
    ]


def test_a_mistake_in_the_sql_keeps_its_place_and_loses_the_engines_words(built: Built) -> None:
    error = error_of(built, "SELEC 1")
    assert error.what.startswith('syntax error at or near "SELEC"')
    assert "LINE 1: SELEC 1" in error.what
    error = error_of(built, "SELECT CAST(model AS INTEGER) FROM gold_car_current_state")
    assert "Could not convert string 'Polo'" in error.what and "Error:" not in error.what


def test_a_missing_data_file_is_named_with_its_table(small: Callable[..., Lakehouse]) -> None:
    with small() as house:
        (path,) = data_files(house, "silver_car_telemetry")
        Path(path).unlink()
        with pytest.raises(QueryError, match="Table silver_car_telemetry cannot be read") as error:
            house.query("SELECT model FROM silver_car_telemetry")
        assert path in error.value.what
        assert house.query("FROM gold_car_current_state").num_rows == 1


@pytest.mark.parametrize("damage", ["cut short", "zeros"])
def test_a_damaged_data_file_is_named_with_its_table(small: Callable[..., Lakehouse], damage: str) -> None:
    with small("a [b] lake") as house:
        (path,) = data_files(house, "gold_car_current_state")
        content = Path(path).read_bytes()
        half = len(content) // 2
        Path(path).write_bytes(
            content[:half] if damage == "cut short" else content[:4] + bytes(half) + content[half + 4 :]
        )
        with pytest.raises(QueryError) as error:
            house.query("FROM gold_car_current_state")
        assert error.value.what == f"gold_car_current_state: data file {path} is damaged."
        assert "carlake doctor" in error.value.advice and "carlake recover" in error.value.advice
        # A mistake of the query is still that.
        with pytest.raises(QueryError, match="Could not convert") as mistake:
            house.query("SELECT CAST(model AS INTEGER) FROM silver_car_telemetry")
        assert "damaged" not in str(mistake.value)


def test_a_missing_metadata_file_is_named_with_its_table(small: Callable[..., Lakehouse]) -> None:
    with small() as house:
        table = house.catalog.load_table("carlake.silver_car_telemetry")
        lost = local_path(table.current_snapshot().manifest_list)
        Path(lost).unlink()
        forget_cached()  # as another process would find it
        with pytest.raises(QueryError, match="Table silver_car_telemetry cannot be read") as error:
            house.query("SELECT model FROM silver_car_telemetry")
        assert lost in error.value.what


def test_a_lake_with_odd_characters_in_its_path(small: Callable[..., Lakehouse]) -> None:
    with small("a [b]* 'c' ü") as house:
        assert house.query("SELECT count(*) AS n FROM silver_car_telemetry")["n"].to_pylist() == [1]


def test_a_statement_knows_which_tables_it_reads(built: Built) -> None:
    known = tuple(built.house.declared)
    with QuerySession(1 << 28, built.house.lake.scratch) as session:
        one = read_statement(session, "WITH x AS (FROM ops_runs) FROM x", "carlake", known)
        assert (one.tables, one.namespace) == (("ops_runs",), False)
        two = read_statement(session, "FROM carlake.ops_runs", "carlake", known)
        assert (two.tables, two.namespace) == (("ops_runs",), True)
        assert read_statement(session, "SELECT 1", "carlake", known).tables == ()
