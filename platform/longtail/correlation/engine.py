"""The engine that counts: DuckDB inside this process, or a Spark cluster, by configuration."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ibis
from ibis.expr.types import Table

from longtail.config import CorrelationConfig
from longtail.errors import InputError, LongtailError

# Defaults that the configuration may override. UTC keeps figures independent of the cluster's zone.
_SPARK_SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.app.name": "longtail mine"}


@contextmanager
def connected(settings: CorrelationConfig) -> Iterator[Any]:
    """Yield an ibis backend that has `read_parquet`, and disconnect it at the end.

    Raises:
        InputError: the configuration asks for Spark, and PySpark or Java is missing.
        LongtailError: Spark does not start.
    """
    if settings.engine == "spark":
        backend = _connect_spark(settings.spark)
        try:
            yield backend
        finally:
            backend.disconnect()
        return
    with tempfile.TemporaryDirectory(prefix="longtail-mine-") as spill:
        backend = ibis.duckdb.connect(
            memory_limit=f"{settings.memory_gib}GiB", temp_directory=spill
        )
        try:
            yield backend
        finally:
            backend.disconnect()


def held(table: Table) -> Table:
    """Compute a table once, and return it as kept by the engine until its connection ends."""
    backend = table.get_backend()
    if backend.name == "pyspark":
        return table.cache()
    # No `cache` here: ibis 12 cannot drop its tables again on DuckDB 2.0.
    return backend.create_table(f"held_{uuid.uuid4().hex}", table, temp=True)


def num_threads() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _connect_spark(settings: Mapping[str, str]) -> Any:
    try:
        from pyspark.errors import PySparkException, PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            "`correlation.engine: spark` needs PySpark: pip install 'longtail[spark]'"
        ) from error
    builder = SparkSession.builder
    for name, value in {**_SPARK_SETTINGS, **settings}.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise InputError(
            "`correlation.engine: spark` needs Java 17 or later, on the PATH or in JAVA_HOME; on "
            f"Debian: apt-get install default-jre-headless ({error})"
        ) from error
    except (PySparkException, OSError) as error:
        raise LongtailError(
            f"Spark does not start with the settings in `correlation.spark`: {error}"
        ) from error
    return ibis.pyspark.connect(session)
