"""The Spark session that an engine works in: a running one where there is one, else one of our own, with Iceberg in it.

Every lake gets a session of its own on the one Spark context that a process may have, so that two lakes in one process
have a catalog each under the same name. Only Spark's public Python API is used, no object of its virtual machine, so
that the engine runs wherever DataFrames do.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from carlake.engines.spark.catalog_conf import catalog_packages, spark_catalog
from carlake.errors import SettingsError
from carlake.lake import Lake
from carlake.settings import Settings
from carlake.words import to_install

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RUNTIMES: dict[str, str] = {
    "4.1": "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",
    "4.0": "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0",
    "3.5": "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.11.0",
}
"""Iceberg's runtime for each version of Spark that has one."""

EXTENSIONS = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"

# What the SQL and the rows need to be the same as on the embedded engine; no property of the settings changes these.
_NEEDED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # A record may have 16 MiB: a batch for Python is bounded by bytes, too, where this Spark knows how.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
}

_PYTHON = "PYSPARK_PYTHON"
_SHUFFLED = "spark.sql.shuffle.partitions"

_lock = threading.Lock()
_users = 0
_own = False


def open_session(settings: Settings, lake: Lake) -> SparkSession:
    """A session for this lake, with its catalog under the name that all engines use. Close it by `close_session`.

    A context that runs already (a notebook's, or the one of a submitted job) is used as it is; else one is started with
    `spark_master` and `spark_properties`, with Iceberg fetched by `spark.jars.packages`.
    Raises SettingsError where Spark is not installed, or has a version that Iceberg has no runtime for.
    """
    global _users, _own
    with _lock:
        base = _running()
        if base is None:
            base = _start(settings, lake)
            _own = True
        # What goes wrong is raised; Spark would print it, too, with every line that led there.
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
        session = base.newSession()
        for key, value in session_conf(settings, lake).items():
            # What the context was started with so is left alone: some services let nothing of it be set afterwards.
            if session.conf.get(key, None) != value:
                session.conf.set(key, value)
        if _own and settings.spark_master.startswith("local") and _SHUFFLED not in settings.spark_properties:
            # Spark's own default is for a cluster: 200 tasks for a handful of rows.
            session.conf.set(_SHUFFLED, 2 * session.sparkContext.defaultParallelism)
        _users += 1
        return session


def close_session(session: SparkSession) -> None:
    """Let go of a session. The context ends with the last one, if it was started here; one that ran before goes on."""
    global _users, _own
    with _lock:
        _users -= 1
        with suppress(Exception):
            session.catalog.clearCache()
        if _own and _users <= 0:
            _own = False
            try:
                session.stop()
            except Exception:  # noqa: BLE001  (its virtual machine has ended before)
                _forget_ended(_spark())


def runtime_for(version: str) -> str:
    """Iceberg's runtime for a version of Spark, as `spark.jars.packages` names it. Raises SettingsError."""
    series = ".".join(version.split(".")[:2])
    if series not in RUNTIMES:
        raise SettingsError(
            f"Spark {version} has no Iceberg runtime that carlake is known to work with.",
            f"Install one of the versions that have: pyspark {', '.join(f'{known}.*' for known in RUNTIMES)}.",
        )
    return RUNTIMES[series]


def session_conf(settings: Settings, lake: Lake) -> dict[str, str]:
    """What is set in each lake's own session: how SQL behaves, and the lake's catalog."""
    return {**plain_spark_properties(settings, runtime=True), **_NEEDED, **spark_catalog(settings, lake)}


def context_conf(settings: Settings, lake: Lake, version: str) -> dict[str, str]:
    """What a context is started with: by default small, on this machine, and heard by nobody else."""
    given = plain_spark_properties(settings)
    runtime = runtime_for(version)
    more = given.pop("spark.jars.packages", "").split(",")
    packages = [runtime, *catalog_packages(settings, lake, runtime), *more]
    local = settings.spark_master.startswith("local")
    address = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} if local else {}
    return {
        "spark.app.name": "carlake",
        "spark.master": settings.spark_master,
        "spark.driver.memory": f"{int(settings.memory_limit) >> 20}m",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "FATAL",
        "spark.sql.extensions": EXTENSIONS,
        **address,
        **given,
        **_NEEDED,
        "spark.jars.packages": ",".join(dict.fromkeys(package for package in packages if package)),
    }


def plain_spark_properties(settings: Settings, runtime: bool = False) -> dict[str, str]:
    """`spark_properties` with the secrets readable: for Spark, never for people. `runtime`: those that a session may set."""
    plain = {key: value.get_secret_value() for key, value in settings.spark_properties.items()}
    static = ("spark.sql.extensions", "spark.sql.warehouse.dir", "spark.sql.streaming.ui", "spark.sql.ui")
    return {k: v for k, v in plain.items() if not runtime or (k.startswith("spark.sql.") and not k.startswith(static))}


def _running() -> SparkSession | None:
    """The session that this process has, or the one that a submitted job is to be."""
    spark = _spark()
    try:
        running: SparkSession | None = spark.getActiveSession() or _of_another_thread(spark)
    except Exception:
        if not _own:
            raise
        _forget_ended(spark)
        running = None
    if running is None and "PYSPARK_GATEWAY_PORT" in os.environ:
        # spark-submit has started the virtual machine with its own properties, master and packages.
        running = spark.builder.getOrCreate()
    if running is not None:
        runtime_for(running.version)
    return running


def _forget_ended(spark: Any) -> None:
    """Let a new context be started in place of our own, whose virtual machine has ended: killed, or out of memory.

    PySpark keeps the connection to the first one for as long as the process lives, and has no call for this.
    """
    from pyspark import SparkContext

    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could not be stopped in order
        SparkContext.getOrCreate().stop()
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    spark._instantiatedSession = None


def _of_another_thread(spark: Any) -> SparkSession | None:
    """The process's session where it was made in another thread than this: for this one Spark calls it not active."""
    try:
        found: SparkSession = spark.active()
        found.sparkContext.defaultParallelism  # noqa: B018  (a context that was stopped leaves its session behind)
    except Exception:  # noqa: BLE001  (there is none, or none that works)
        return None
    return found


def _start(settings: Settings, lake: Lake) -> SparkSession:
    builder = _spark().builder
    import pyspark

    for key, value in context_conf(settings, lake, pyspark.__version__).items():
        builder = builder.config(key, value)
    with _workers_python(settings):
        session: SparkSession = builder.getOrCreate()
    return session


@contextmanager
def _workers_python(settings: Settings) -> Iterator[None]:
    """Let workers on this machine run this Python: Spark takes it from the environment alone, else what PATH has first."""
    if _PYTHON in os.environ or not settings.spark_master.startswith("local"):
        yield
        return
    os.environ[_PYTHON] = sys.executable
    try:
        yield
    finally:
        del os.environ[_PYTHON]


def _spark() -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingsError(
            "The engine 'spark' needs Spark, which is not installed.", f"Install it, {to_install('spark')}"
        ) from None
    return SparkSession
