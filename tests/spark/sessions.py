"""Spark for the tests: small, on this machine, and one for all the tests of a process."""

from __future__ import annotations

from typing import Any

from carlake.engines.spark.catalog_conf import POSTGRES_JDBC, SQLITE_JDBC, bundle
from carlake.engines.spark.session import RUNTIMES
from carlake.settings import Settings

PROPERTIES = {
    # Compiled once and quickly: no test runs long enough for more.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    # Nor is each query compiled, a quarter of the processor's time here: the submitted jobs do, as Spark does by itself.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # One context serves lakes with every catalog and store.
    "spark.jars.packages": ",".join((SQLITE_JDBC, POSTGRES_JDBC, bundle("s3", RUNTIMES["4.1"]))),
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}


def spark_settings(**more: Any) -> Settings:
    """Settings of a lake on Spark: two workers, and no maintenance in between."""
    own = {"spark_master": "local[2]", "spark_properties": PROPERTIES, "threads": 1, "maintenance": "off"}
    return Settings(engine="spark", **{**own, **more})
